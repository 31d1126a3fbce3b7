#include "decide/inference.h"

#include <algorithm>

#include "resources/json_fields.h"

namespace dbrestore::decide {

using resources::Credential;
using resources::Inferred;
using resources::list_at;
using resources::text_at;

namespace {

constexpr const char* official_data_directory = "/var/lib/postgresql/data";

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
        const std::string image = text_at(container, "image");
        const std::string base = image.substr(image.find_last_of('/') + 1);
        return !variable(container, "PGDATA").is_null() ||
               !variable(container, "POSTGRES_PASSWORD").is_null() ||
               !variable(container, "POSTGRES_PASSWORD_FILE").is_null() ||
               base.find("postgres") != std::string::npos;
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
        return true;
    }

    bool find_data_directory() {
        const auto& pgdata = variable(container_, "PGDATA");
        if (!overrides_.data_directory.empty()) {
            inferred_.data_directory = overrides_.data_directory;
        } else if (!pgdata.is_null() && text_at(pgdata, "value").empty()) {
            return cannot("DataDirectoryUnknown",
                          "PGDATA is not a literal value in the pod template; `spec.postgres.dataDirectory` "
                          "must be set");
        } else {
            inferred_.data_directory = text_at(pgdata, "value", official_data_directory);
        }
        inferred_.data_directory = without_trailing_slash(inferred_.data_directory);
        // A reference to another variable would be expanded by the kubelet, not by us.
        if (inferred_.data_directory.find("$(") != std::string::npos) {
            return cannot("DataDirectoryUnknown",
                          "PGDATA refers to another variable; `spec.postgres.dataDirectory` must be set");
        }
        return true;
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
        inferred_.claim_name = claim_of(inferred_.volume);
        if (inferred_.claim_name.empty()) {
            return cannot("ClaimNotFound", "volume \"" + inferred_.volume +
                                               "\" of the data directory must be a PersistentVolumeClaim");
        }
        return true;
    }

    std::string claim_of(const std::string& volume) const {
        for (const auto& claim : workload_.claim_templates) {
            if (claim.name == volume) return volume + "-" + workload_.meta.name + "-0";
        }
        for (const auto& candidate : list_at(workload_.pod_spec, "volumes")) {
            if (text_at(candidate, "name") == volume)
                return text_at(candidate, "persistentVolumeClaim.claimName");
        }
        return {};
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
        } else {
            if (!read_variable("POSTGRES_USER", inferred_.user) ||
                !read_variable("POSTGRES_PASSWORD", inferred_.password)) {
                return false;
            }
            if (inferred_.user == Credential{}) inferred_.user.value = "postgres";
            if (inferred_.password.secret_key.empty()) {
                return cannot(
                    "CredentialsUnknown",
                    "POSTGRES_PASSWORD does not come from a Secret; `spec.postgres.connectionSecret` must "
                    "name a Secret with the keys username and password");
            }
        }
        if (!overrides_.database.empty())
            inferred_.database = {overrides_.database, {}};
        else if (inferred_.database == Credential{} && !read_variable("POSTGRES_DB", inferred_.database))
            return false;
        // The official image names the database after its user where nothing else is said.
        if (inferred_.database == Credential{}) inferred_.database = inferred_.user;
        return true;
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
        const std::string variable_text = text_at(variable(container_, "PGPORT"), "value");
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
    Inferred inferred_;
    NotInferable problem_;
};

}  // namespace

const nlohmann::json& container_named(const nlohmann::json& pod_spec, const std::string& name) {
    static const nlohmann::json none;
    for (const auto& container : list_at(pod_spec, "containers")) {
        if (text_at(container, "name") == name) return container;
    }
    return none;
}

std::vector<std::string> server_arguments(const nlohmann::json& container) {
    std::vector<std::string> words = resources::texts_at(container, "command");
    for (auto& word : resources::texts_at(container, "args")) words.push_back(std::move(word));
    const auto program = std::ranges::find_if(
        words, [](const std::string& word) { return word == "postgres" || word.ends_with("/postgres"); });
    if (program != words.end()) return {program + 1, words.end()};
    auto arguments = resources::texts_at(container, "args");
    if (!arguments.empty() && !arguments[0].starts_with('-'))
        arguments.clear();  // arguments of some other program
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
