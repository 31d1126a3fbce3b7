#include "decide/inference.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "resources/json_fields.h"

namespace dbrestore::decide {

using resources::Credential;
using resources::Inferred;
using resources::list_at;
using resources::text_at;

namespace {

constexpr const char* official_folder = "/var/lib/postgresql";
constexpr const char* bitnami_folder = "/bitnami/postgresql";
constexpr int first_major_with_its_own_folder = 18;

// The variables by which an image is told what is inferred here; of several the first that is set counts.
struct Variables {
    std::vector<std::string> user, password, superuser_password, database, port, data_directory;
};

// POSTGRES_USER is the superuser.
const Variables official_variables{{"POSTGRES_USER"}, {"POSTGRES_PASSWORD"}, {}, {"POSTGRES_DB"}, {"PGPORT"},
                                   {"PGDATA"}};
// The superuser is postgres, and another user has no rights but on the database.
const Variables bitnami_variables{
    {"POSTGRESQL_USERNAME", "POSTGRES_USERNAME", "POSTGRES_USER", "POSTGRESQL_USER"},
    {"POSTGRESQL_PASSWORD", "POSTGRES_PASSWORD"},
    {"POSTGRESQL_POSTGRES_PASSWORD", "POSTGRES_POSTGRES_PASSWORD"},
    {"POSTGRESQL_DATABASE", "POSTGRES_DATABASE", "POSTGRES_DB"},
    {"POSTGRESQL_PORT_NUMBER", "POSTGRES_PORT_NUMBER"},
    {"POSTGRESQL_DATA_DIR", "POSTGRES_DATA_DIR", "PGDATA"}};

const nlohmann::json& variable(const nlohmann::json& container, const std::string& name) {
    static const nlohmann::json none;
    for (const auto& entry : list_at(container, "env")) {
        if (text_at(entry, "name") == name) return entry;
    }
    return none;
}

bool within(const std::string& path, const std::string& folder) {
    return path == folder || folder == "/" || path.starts_with(folder + "/");
}

std::string without_trailing_slash(std::string path) {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    return path;
}

// What Bitnami's entrypoint writes into a configuration that only its own pod has, and a restore depends on.
constexpr std::array<std::array<const char*, 3>, 2> bitnami_settings{{
    {"POSTGRESQL_SHARED_PRELOAD_LIBRARIES", "POSTGRES_SHARED_PRELOAD_LIBRARIES", "shared_preload_libraries"},
    {"POSTGRESQL_TIMEZONE", "POSTGRES_TIMEZONE", "timezone"},
}};

// What comes after the last slash.
std::string name_of_image(const std::string& image) {
    const std::string without_digest = image.substr(0, image.find('@'));
    return without_digest.substr(without_digest.find_last_of('/') + 1);
}

int number_at(const std::string& text, size_t at) {
    int number = 0;
    for (; at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0 && number < 1000; ++at)
        number = number * 10 + (text[at] - '0');
    return number;
}

// By the image's tag, such as postgres:18.1-alpine, pgvector:0.8-pg18; 0 where it does not say.
int major_version_of(const std::string& image) {
    const std::string name = name_of_image(image);
    const size_t colon = name.find(':');
    if (colon == std::string::npos) return 0;
    for (size_t at = colon; at != std::string::npos; at = name.find('-', at + 1)) {
        if (name.compare(at + 1, 2, "pg") == 0 && number_at(name, at + 3) > 0) return number_at(name, at + 3);
    }
    return name.substr(0, colon).find("postg") == std::string::npos ? 0 : number_at(name, colon + 1);
}

bool looks_like_bitnami(const nlohmann::json& container) {
    const auto begins = [&](const char* list, const char* name, const std::string& with) {
        return std::ranges::any_of(list_at(container, list), [&](const nlohmann::json& entry) {
            return text_at(entry, name).starts_with(with);
        });
    };
    return text_at(container, "image").find("bitnami") != std::string::npos ||
           begins("volumeMounts", "mountPath", bitnami_folder) || begins("env", "name", "POSTGRESQL_");
}

// Works out one field after the other; the first that cannot be told ends it.
class Inferrer {
public:
    Inferrer(const resources::PostgresServer& server, const resources::Workload& workload)
        : overrides_(server.overrides), workload_(workload) {}

    Inference run() {
        if (!find_container() || !find_data_directory() || !find_volume() || !find_credentials())
            return problem_;
        find_owner();
        find_port();
        return inferred_;
    }

private:
    bool cannot(std::string reason, std::string message) {
        problem_ = {std::move(reason), std::move(message)};
        return false;
    }

    bool looks_like_postgres(const nlohmann::json& container) const {
        return !variable(container, "PGDATA").is_null() ||
               !variable(container, "POSTGRES_PASSWORD").is_null() ||
               !variable(container, "POSTGRES_PASSWORD_FILE").is_null() ||
               name_of_image(text_at(container, "image")).find("postgres") != std::string::npos;
    }

    bool mounts_claim(const nlohmann::json& container) const {
        return std::ranges::any_of(list_at(container, "volumeMounts"), [this](const nlohmann::json& mount) {
            return !claim_of(workload_, text_at(mount, "name")).empty();
        });
    }

    bool find_container() {
        std::vector<std::string> candidates;
        const auto& containers = list_at(workload_.pod_spec, "containers");
        for (const auto& container : containers) {
            if (overrides_.container.empty() ? looks_like_postgres(container)
                                             : text_at(container, "name") == overrides_.container) {
                candidates.push_back(text_at(container, "name"));
            }
        }
        // An exporter beside the server looks like it, but has no data.
        const auto has_data = [this](const std::string& name) {
            return mounts_claim(container_named(workload_.pod_spec, name));
        };
        if (std::ranges::count_if(candidates, has_data) == 1)
            candidates = {*std::ranges::find_if(candidates, has_data)};
        if (candidates.empty() && overrides_.container.empty() && containers.size() == 1)
            candidates.push_back(text_at(containers[0], "name"));
        if (candidates.empty() && !overrides_.container.empty()) {
            return cannot("ContainerNotFound",
                          "the pod template has no container \"" + overrides_.container +
                              "\"; `spec.postgres.container` must name one of its containers");
        }
        if (candidates.size() != 1) {
            return cannot("ContainerUnknown", std::to_string(candidates.size()) +
                                                  " containers of the pod template look like PostgreSQL; "
                                                  "`spec.postgres.container` must name the one that runs it");
        }
        inferred_.container = candidates[0];
        container_ = container_named(workload_.pod_spec, inferred_.container);
        inferred_.image = text_at(container_, "image");
        is_bitnami_ = looks_like_bitnami(container_);
        return true;
    }

    const Variables& variables() const { return is_bitnami_ ? bitnami_variables : official_variables; }

    bool is_set(const std::string& name) const {
        return !variable(container_, name).is_null() || !variable(container_, name + "_FILE").is_null();
    }

    // The first of them that is set; empty where none is.
    std::string first_set(const std::vector<std::string>& names) const {
        const auto at = std::ranges::find_if(names, [this](const auto& name) { return is_set(name); });
        return at == names.end() ? "" : *at;
    }

    bool find_data_directory() {
        std::string& directory = inferred_.data_directory;
        const std::string name = first_set(variables().data_directory);
        const std::string value = text_at(variable(container_, name), "value");
        if (!overrides_.data_directory.empty()) {
            directory = overrides_.data_directory;
        } else if (!name.empty() && (value.empty() || value.find("$(") != std::string::npos)) {
            // A reference to another variable would be expanded by the kubelet, not by us.
            return cannot("DataDirectoryUnknown", name +
                                                      " is not a literal value in the pod template; "
                                                      "`spec.postgres.dataDirectory` must be set");
        } else {
            directory = name.empty() ? default_data_directory() : value;
        }
        directory = without_trailing_slash(directory);
        if (!directory.empty()) return true;
        return cannot("DataDirectoryUnknown",
                      "the data directory of image " + inferred_.image +
                          " depends on its major version, which the tag does not say; "
                          "`spec.postgres.dataDirectory` must be set, such as " +
                          official_folder + "/18/docker");
    }

    // Where the image keeps the data unless it is told. From PostgreSQL 18 on the official image has a folder
    // for each major version, and its volume is mounted above; a claim that is mounted at the folder of
    // before says that the image is older, whatever its tag. Empty where it cannot be told.
    std::string default_data_directory() const {
        const std::string folder = official_folder, of_before = folder + "/data";
        if (is_bitnami_) return std::string(bitnami_folder) + "/data";
        bool above = false;
        for (const auto& mount : list_at(container_, "volumeMounts")) {
            const std::string path = without_trailing_slash(text_at(mount, "mountPath"));
            if (path == of_before) return folder + "/data";
            above = above || within(folder, path);
        }
        const int major = major_version_of(inferred_.image);
        if (major >= first_major_with_its_own_folder) return folder + "/" + std::to_string(major) + "/docker";
        return above && major == 0 ? "" : of_before;
    }

    bool find_volume() {
        const nlohmann::json* mount = nullptr;
        for (const auto& candidate : list_at(container_, "volumeMounts")) {
            const std::string path = without_trailing_slash(text_at(candidate, "mountPath"));
            if (!overrides_.volume.empty() && text_at(candidate, "name") != overrides_.volume) continue;
            if (!within(inferred_.data_directory, path)) continue;
            if (mount == nullptr || path.size() > without_trailing_slash(text_at(*mount, "mountPath")).size())
                mount = &candidate;
        }
        if (mount == nullptr) {
            return cannot("VolumeNotFound",
                          "no volume of container \"" + inferred_.container +
                              "\" is mounted at or above the data directory " + inferred_.data_directory +
                              "; `spec.postgres.dataDirectory` must lie on a PersistentVolumeClaim");
        }
        if (!text_at(*mount, "subPathExpr").empty()) {
            return cannot(
                "SubPathUnknown",
                "the data volume is mounted with subPathExpr; it must be mounted with subPath or none");
        }
        inferred_.volume = text_at(*mount, "name");
        inferred_.mount_path = without_trailing_slash(text_at(*mount, "mountPath"));
        inferred_.sub_path = text_at(*mount, "subPath");
        inferred_.claim_name = claim_of(workload_, inferred_.volume);
        if (inferred_.claim_name.empty()) {
            return cannot("ClaimNotFound", "volume \"" + inferred_.volume +
                                               "\" of the data directory must be a PersistentVolumeClaim");
        }
        return true;
    }

    // True with an empty credential where the variable is absent.
    bool read_variable(const std::string& name, Credential& credential) {
        const auto& entry = variable(container_, name);
        if (const std::string key = text_at(entry, "valueFrom.secretKeyRef.key"); !key.empty()) {
            return from_secret(text_at(entry, "valueFrom.secretKeyRef.name"), key, credential);
        }
        if (resources::present_at(entry, "valueFrom")) {
            return cannot("CredentialsUnknown", name +
                                                    " comes neither from a literal value nor from a Secret; "
                                                    "`spec.postgres.connectionSecret` must be set");
        }
        credential.value = text_at(entry, "value");
        if (const std::string file = text_at(variable(container_, name + "_FILE"), "value"); !file.empty())
            return read_file_variable(name, file, credential);
        return true;
    }

    // The first of them that is set.
    bool read_first(const std::vector<std::string>& names, Credential& credential) {
        const std::string name = first_set(names);
        return name.empty() || read_variable(name, credential);
    }

    // POSTGRES_…_FILE names a file below a mounted Secret: the file's name is the key.
    bool read_file_variable(const std::string& name, const std::string& file, Credential& credential) {
        for (const auto& mount : list_at(container_, "volumeMounts")) {
            const std::string folder = without_trailing_slash(text_at(mount, "mountPath"));
            if (!file.starts_with(folder + "/") || !text_at(mount, "subPath").empty()) continue;
            for (const auto& volume : list_at(workload_.pod_spec, "volumes")) {
                const std::string secret = text_at(volume, "secret.secretName");
                if (text_at(volume, "name") != text_at(mount, "name") || secret.empty()) continue;
                const std::string path = file.substr(folder.size() + 1);
                for (const auto& item : list_at(volume, "secret.items")) {
                    if (text_at(item, "path") == path)
                        return from_secret(secret, text_at(item, "key"), credential);
                }
                return from_secret(secret, path, credential);
            }
        }
        return cannot(
            "CredentialsUnknown",
            name + "_FILE is not below a mounted Secret; `spec.postgres.connectionSecret` must be set");
    }

    bool from_secret(const std::string& secret, const std::string& key, Credential& credential) {
        if (!inferred_.secret_name.empty() && inferred_.secret_name != secret) {
            return cannot("CredentialsUnknown",
                          "user, password and database come from several Secrets (\"" +
                              inferred_.secret_name + "\", \"" + secret +
                              "\"); `spec.postgres.connectionSecret` must name one that holds them");
        }
        inferred_.secret_name = secret;
        credential.secret_key = key;
        return true;
    }

    bool find_credentials() {
        if (!overrides_.secret_name.empty()) {
            inferred_.secret_name = overrides_.secret_name;
            inferred_.user.secret_key =
                overrides_.username_key.empty() ? "username" : overrides_.username_key;
            inferred_.password.secret_key =
                overrides_.password_key.empty() ? "password" : overrides_.password_key;
            if (!overrides_.database_key.empty()) inferred_.database.secret_key = overrides_.database_key;
        } else if (!find_login()) {
            return false;
        }
        if (!overrides_.database.empty())
            inferred_.database = {overrides_.database, {}};
        else if (inferred_.database == Credential{} && !read_first(variables().database, inferred_.database))
            return false;
        // The official image names the database after its user where nothing else is said.
        if (inferred_.database == Credential{})
            inferred_.database = is_bitnami_ ? Credential{"postgres", ""} : inferred_.user;
        return true;
    }

    // The superuser where there is a choice: nobody else may see all that is checked.
    bool find_login() {
        const Variables& names = variables();
        const std::string user = first_set(names.user);
        const bool is_other = !user.empty() && text_at(variable(container_, user), "value") != "postgres";
        const bool by_superuser = is_other && !first_set(names.superuser_password).empty();
        if (!by_superuser && !read_first(names.user, inferred_.user)) return false;
        if (!read_first(by_superuser ? names.superuser_password : names.password, inferred_.password))
            return false;
        if (inferred_.user == Credential{}) inferred_.user.value = "postgres";
        if (!inferred_.password.secret_key.empty()) return true;
        return cannot("CredentialsUnknown",
                      "the server's password does not come from a Secret by the variable " +
                          names.password[0] +
                          "; `spec.postgres.connectionSecret` must name a Secret with the keys username and "
                          "password");
    }

    void find_owner() {
        const auto id = [this](const char* name) -> std::optional<int64_t> {
            for (const auto& context : {resources::field(container_, "securityContext"),
                                        resources::field(workload_.pod_spec, "securityContext")}) {
                // 0 is an entrypoint that drops to the directory's owner later: it says nothing, nor does
                // what it overrides.
                if (!resources::present_at(context, name)) continue;
                const int64_t value = resources::integer_at(context, name);
                return value > 0 ? std::optional(value) : std::nullopt;
            }
            return std::nullopt;
        };
        inferred_.uid = overrides_.uid ? overrides_.uid : id("runAsUser");
        inferred_.gid = id("runAsGroup");
    }

    void find_port() {
        const std::string variable_text = text_at(variable(container_, first_set(variables().port)), "value");
        if (overrides_.port) {
            inferred_.port = *overrides_.port;
        } else if (!variable_text.empty() && variable_text.size() <= 5 &&
                   std::ranges::all_of(variable_text, [](char c) { return c >= '0' && c <= '9'; })) {
            inferred_.port = std::stoll(variable_text);
        } else if (const auto& ports = list_at(container_, "ports"); !ports.empty()) {
            inferred_.port = resources::integer_at(ports[0], "containerPort", inferred_.port);
        }
    }

    const resources::PostgresOverrides& overrides_;
    const resources::Workload& workload_;
    nlohmann::json container_;
    bool is_bitnami_ = false;
    Inferred inferred_;
    NotInferable problem_;
};

}  // namespace

std::string claim_of(const resources::Workload& workload, const std::string& volume) {
    for (const auto& claim : workload.claim_templates) {
        if (claim.name == volume) return volume + "-" + workload.meta.name + "-0";
    }
    for (const auto& candidate : list_at(workload.pod_spec, "volumes")) {
        if (text_at(candidate, "name") == volume)
            return text_at(candidate, "persistentVolumeClaim.claimName");
    }
    return {};
}

const nlohmann::json& container_named(const nlohmann::json& pod_spec, const std::string& name) {
    static const nlohmann::json none;
    for (const auto& container : list_at(pod_spec, "containers")) {
        if (text_at(container, "name") == name) return container;
    }
    return none;
}

std::vector<std::string> server_arguments(const nlohmann::json& container) {
    std::vector<std::string> arguments;
    for (const auto& [name, other_name, setting] : bitnami_settings) {
        const auto& own = variable(container, name);
        const std::string value = text_at(own.is_null() ? variable(container, other_name) : own, "value");
        if (looks_like_bitnami(container) && !value.empty())
            arguments.insert(arguments.end(), {"-c", std::string(setting) + "=" + value});
    }
    std::vector<std::string> words = resources::texts_at(container, "command");
    std::vector<std::string> own = resources::texts_at(container, "args");
    words.insert(words.end(), own.begin(), own.end());
    const auto program = std::ranges::find_if(
        words, [](const std::string& word) { return word == "postgres" || word.ends_with("/postgres"); });
    if (program != words.end())
        own.assign(program + 1, words.end());
    else if (!own.empty() && !own[0].starts_with('-'))
        own.clear();  // arguments of some other program
    arguments.insert(arguments.end(), own.begin(), own.end());
    return arguments;
}

Inference infer(const resources::PostgresServer& server, const std::optional<resources::Workload>& workload) {
    const std::string name = server.workload_kind + " \"" + server.workload_name + "\"";
    if (!workload) {
        return NotInferable{"WorkloadNotFound",
                            name + " does not exist in namespace " + server.meta.namespace_name};
    }
    if (workload->pod_spec.is_null()) {
        return NotInferable{"ClaimNotFound",
                            "no volume of " + name +
                                " is a claim; that of the data directory must be a PersistentVolumeClaim"};
    }
    return Inferrer(server, *workload).run();
}

}  // namespace dbrestore::decide
