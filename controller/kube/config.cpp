#include "kube/config.h"

#include <yaml-cpp/yaml.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <utility>

#include "base/files.h"

namespace dbrestore::kube {

using base::Error;
using base::ErrorKind;
using base::Result;

namespace {

constexpr size_t kLargestFileBytes = 1u << 20;

Error invalid(std::string message, std::string hint = {}) {
    return base::error(ErrorKind::invalid, std::move(message), std::move(hint));
}

// A name for a message. Where a quote was not closed, a "name" goes on through the file, tokens and all; then
// it has blanks in it and is not shown.
bool may_hold_a_credential(const std::string& name) {
    return name.find_first_of(" \t\r\n") != std::string::npos;
}

std::string shown(const std::string& name) {
    return may_hold_a_credential(name) ? "(not shown: it has blanks in it; is a quote not closed?)"
                                       : "\"" + name + "\"";
}

std::string without_line_end(std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
        text.pop_back();
    return text;
}

// RFC 4648, with padding; nothing where the text is something else.
std::optional<std::string> base64_decoded(std::string_view text) {
    std::string bytes;
    uint32_t bits = 0;
    int bit_count = 0;
    size_t padding = 0;
    for (const char c : text) {
        if (c == '\n' || c == '\r' || c == ' ') continue;
        if (c == '=') {
            ++padding;
            continue;
        }
        static constexpr std::string_view kAlphabet =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const size_t digit = kAlphabet.find(c);
        if (digit == std::string_view::npos || padding > 0) return std::nullopt;
        bits = (bits << 6 | static_cast<uint32_t>(digit)) & 0xffffff;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            bytes += static_cast<char>(bits >> bit_count & 0xff);
        }
    }
    if (padding > 2 || bit_count >= 6) return std::nullopt;
    return bytes;
}

struct Unsupported {
    const char* field;
    const char* instead;
};

constexpr std::array<Unsupported, 6> kUnsupportedForUser{{
    {"exec", "use a token, a tokenFile or a client certificate"},
    {"auth-provider", "use a token, a tokenFile or a client certificate"},
    {"username", "use a token, a tokenFile or a client certificate"},
    {"password", "use a token, a tokenFile or a client certificate"},
    {"as", "give the user itself the rights that it needs"},
    {"as-groups", "give the user itself the rights that it needs"},
}};

constexpr std::array<Unsupported, 1> kUnsupportedForCluster{{
    {"proxy-url", "run this where the API server can be reached directly"},
}};

// A field is present even where it is empty or false; only then it asks for nothing.
bool asks_for_something(const YAML::Node& field) {
    if (!field.IsDefined() || field.IsNull()) return false;
    return !field.IsScalar() || !(field.Scalar().empty() || field.Scalar() == "false");
}

template <size_t Count>
base::Status refuse(const YAML::Node& section, const std::string& what,
                    const std::array<Unsupported, Count>& unsupported) {
    for (const auto& [field, instead] : unsupported)
        if (asks_for_something(section[field]))
            return invalid(what + " asks for " + field + ", which is not supported", instead);
    return base::success();
}

// One kubeconfig that was parsed. Its functions may throw YAML exceptions, which kubeconfig_from_text turns
// into errors.
class Kubeconfig {
public:
    Kubeconfig(const YAML::Node& root, std::filesystem::path folder, const ReadFile& read_file)
        : root_(root), folder_(std::move(folder)), read_file_(read_file) {}

    Result<Config> config_for(std::string context_name) const {
        if (context_name.empty()) context_name = text(root_["current-context"]);
        if (context_name.empty()) return invalid("it has no current-context", "name one by --context");
        auto context = named("contexts", "context", context_name);
        if (!context) return context.error();

        Config config;
        config.namespace_name = text((*context)["namespace"]);
        if (config.namespace_name.empty()) config.namespace_name = "default";
        auto cluster = named("clusters", "cluster", text((*context)["cluster"]));
        if (!cluster) return cluster.error();
        if (auto status = read_cluster(*cluster, config); !status) return status.error();
        const std::string user_name = text((*context)["user"]);
        if (!user_name.empty()) {  // without a user: an API server that asks for none
            auto user = named("users", "user", user_name);
            if (!user) return user.error();
            if (auto status = read_user(*user, config); !status) return status.error();
        }
        return config;
    }

private:
    static std::string text(const YAML::Node& node) {
        return node.IsDefined() && node.IsScalar() ? node.Scalar() : std::string();
    }

    // The entry of that name in a list of {name, <member>}.
    Result<YAML::Node> named(const char* list, const char* member, const std::string& name) const {
        const YAML::Node entries = root_[list];
        if (entries.IsDefined() && entries.IsSequence())
            for (const YAML::Node& entry : entries)
                if (entry.IsMap() && text(entry["name"]) == name && entry[member].IsDefined() &&
                    entry[member].IsMap())
                    return entry[member];
        return invalid("it has no " + std::string(member) + " named " + shown(name));
    }

    base::Status read_cluster(const YAML::Node& cluster, Config& config) const {
        if (auto status = refuse(cluster, "its cluster", kUnsupportedForCluster); !status) return status;
        if (asks_for_something(cluster["insecure-skip-tls-verify"]))
            return invalid("its cluster asks for insecure-skip-tls-verify, which is not supported",
                           "add the API server's authority as certificate-authority-data");
        config.server = text(cluster["server"]);
        while (!config.server.empty() && config.server.back() == '/') config.server.pop_back();
        config.tls_server_name = text(cluster["tls-server-name"]);
        return read_credential(cluster, "certificate-authority", config.certificate_authority_pem);
    }

    base::Status read_user(const YAML::Node& user, Config& config) const {
        if (auto status = refuse(user, "its user", kUnsupportedForUser); !status) return status;
        if (auto status = read_credential(user, "client-certificate", config.client_certificate_pem); !status)
            return status;
        if (auto status = read_credential(user, "client-key", config.client_key_pem); !status) return status;
        config.token = text(user["token"]);
        const std::string token_file = text(user["tokenFile"]);
        if (!token_file.empty()) config.token_file = (folder_ / token_file).string();
        return base::success();
    }

    // `name`-data in base64, else the file that `name` names; neither leaves it empty.
    base::Status read_credential(const YAML::Node& section, const std::string& name, std::string& pem) const {
        const std::string data = text(section[name + "-data"]);
        const std::string file = text(section[name]);
        if (!data.empty()) {
            auto decoded = base64_decoded(data);
            if (!decoded) return invalid("its " + name + "-data is not base64");
            pem = std::move(*decoded);
        } else if (!file.empty()) {
            auto read = read_file_((folder_ / file).string());
            if (!read)
                return base::error(
                    read.error().kind,
                    "its " + name + ": " +
                        (may_hold_a_credential(file) ? "the file " + shown(file) : read.error().message));
            pem = std::move(*read);
        }
        return base::success();
    }

    YAML::Node root_;
    std::filesystem::path folder_;
    const ReadFile& read_file_;
};

// What must hold wherever the configuration came from.
base::Status check(const Config& config) {
    const bool secure = config.server.starts_with("https://");
    if (!secure && !config.server.starts_with("http://"))
        return invalid("the server's address has another scheme than https or http",
                       "it must begin with https://");
    const std::string_view host = std::string_view(config.server).substr(secure ? 8 : 7);
    if (host.empty() || host.front() == '/' || host.find_first_of(" @?#\r\n") != std::string_view::npos)
        return invalid("the server is not a plain address", "write it as https://host:port");
    if (config.client_certificate_pem.empty() != config.client_key_pem.empty())
        return invalid("client certificate and client key belong together, and one is missing");
    const bool has_credential =
        !config.token.empty() || !config.token_file.empty() || !config.client_key_pem.empty();
    if (!secure && has_credential)
        return invalid("credentials would be sent over http, readable for everybody", "use https");
    if (secure && config.certificate_authority_pem.empty())
        return invalid("no certificate authority is given, and the system's are not trusted",
                       "add the API server's authority as certificate-authority-data");
    if (config.token.find_first_of("\r\n") != std::string::npos)
        return invalid("the token has a line break in it");
    return base::success();
}

Error in_file(const std::string& path, const Error& error) {
    return base::error(error.kind, "kubeconfig " + path + ": " + error.message, error.hint);
}

}  // namespace

std::optional<std::string> process_environment(const std::string& name) {
    const char* value =
        std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): nothing here sets variables
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
}

Result<Config> load_config(const ConfigSource& source, const Environment& environment,
                           const std::string& service_account_directory) {
    if (!source.kubeconfig.empty()) return read_kubeconfig(source.kubeconfig, source.context);
    if (const auto path = environment("KUBECONFIG")) {
        if (path->find(':') != std::string::npos)
            return invalid("KUBECONFIG names more than one file, which is not supported",
                           "name one by --kubeconfig");
        return read_kubeconfig(*path, source.context);
    }
    if (environment("KUBERNETES_SERVICE_HOST"))
        return in_cluster_config(environment, service_account_directory);
    if (const auto home = environment("HOME")) {
        const std::string path = *home + "/.kube/config";
        if (std::filesystem::exists(path)) return read_kubeconfig(path, source.context);
    }
    return base::error(
        ErrorKind::not_found, "no Kubernetes API server is configured",
        "run in a pod with a service account, or name a kubeconfig by --kubeconfig or KUBECONFIG");
}

Result<Config> in_cluster_config(const Environment& environment,
                                 const std::string& service_account_directory) {
    const auto host = environment("KUBERNETES_SERVICE_HOST");
    const auto port = environment("KUBERNETES_SERVICE_PORT");
    if (!host || !port)
        return base::error(ErrorKind::not_found,
                           "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not both set",
                           "this is not a pod of Kubernetes: name a kubeconfig by --kubeconfig");
    Config config;
    const bool is_ipv6 = host->find(':') != std::string::npos;
    config.server = "https://" + (is_ipv6 ? "[" + *host + "]" : *host) + ":" + *port;
    // The brackets of the address would be taken as part of the name; each API server's certificate has this
    // one.
    if (is_ipv6) config.tls_server_name = "kubernetes.default.svc";

    auto authority = base::read_file(service_account_directory + "/ca.crt", kLargestFileBytes);
    if (!authority) return authority.error();
    config.certificate_authority_pem = std::move(*authority);
    config.token_file = service_account_directory + "/token";
    // Read now, so that a pod without a token says so at its start.
    auto token = base::read_file(config.token_file, kLargestFileBytes);
    if (!token) return token.error();
    config.token = without_line_end(std::move(*token));
    auto namespace_name = base::read_file(service_account_directory + "/namespace", kLargestFileBytes);
    if (!namespace_name) return namespace_name.error();
    config.namespace_name = without_line_end(std::move(*namespace_name));
    if (auto status = check(config); !status) return status.error();
    return config;
}

Result<Config> read_kubeconfig(const std::string& path, const std::string& context) {
    const ReadFile read_file = [](const std::string& file) {
        return base::read_file(file, kLargestFileBytes);
    };
    auto text = read_file(path);
    if (!text) return in_file(path, text.error());
    const std::string folder = std::filesystem::absolute(path).parent_path().string();
    auto config = kubeconfig_from_text(*text, folder, context, read_file);
    if (!config) return in_file(path, config.error());
    return config;
}

Result<Config> kubeconfig_from_text(const std::string& text, const std::string& folder,
                                    const std::string& context, const ReadFile& read_file) {
    try {
        const YAML::Node root = YAML::Load(text);
        if (!root.IsMap()) return invalid("it is not a kubeconfig");
        auto config = Kubeconfig(root, folder, read_file).config_for(context);
        if (!config) return config;
        if (auto status = check(*config); !status) return status.error();
        return config;
    } catch (
        const std::exception& failure) {  // only the parser's position, since its text may hold a credential
        const auto* where = dynamic_cast<const YAML::Exception*>(&failure);
        const std::string line = where == nullptr ? "" : " at line " + std::to_string(where->mark.line + 1);
        return invalid("it is not valid YAML" + line);
    }
}

}  // namespace dbrestore::kube
