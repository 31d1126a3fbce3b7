#pragma once
// Where the Kubernetes API is and who we are there.

#include <functional>
#include <optional>
#include <string>

#include "base/result.h"

namespace dbrestore::kube {

struct Config {
    std::string server;          // https://host:port, no slash at the end; http only without any credential
    std::string namespace_name;  // the pod's or the context's; "default" where neither says
    std::string certificate_authority_pem;
    std::string client_certificate_pem, client_key_pem;  // both or neither
    std::string token;                                   // as written in the kubeconfig
    std::string token_file;                              // read again while we run; wins over `token`
    std::string tls_server_name;  // the name that the certificate must have; empty: the host's
};

struct ConfigSource {
    std::string kubeconfig;  // --kubeconfig; empty: see load_config
    std::string context;     // --context; empty: the file's current-context
};

using Environment = std::function<std::optional<std::string>(const std::string& name)>;
std::optional<std::string> process_environment(const std::string& name);

inline constexpr const char* kServiceAccountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount";

// The first that is there: --kubeconfig; KUBECONFIG (one file); the pod's service account; ~/.kube/config.
// Errors: not_found where none is; else those of the two below.
base::Result<Config> load_config(const ConfigSource& source,
                                 const Environment& environment = process_environment,
                                 const std::string& service_account_directory = kServiceAccountDirectory);

// KUBERNETES_SERVICE_HOST and _PORT, and `token`, `ca.crt` and `namespace` in the directory. Errors:
// not_found, invalid.
base::Result<Config> in_cluster_config(const Environment& environment,
                                       const std::string& service_account_directory);

// A kubeconfig of at most 1 MiB. Supported: certificate-authority(-data), tls-server-name,
// client-certificate(-data), client-key(-data), token, tokenFile; paths are relative to the file's folder.
// Errors: not_found; invalid where it is not a kubeconfig, names what it does not hold, or asks for what is
// not supported (exec, auth-provider, username, proxy-url, insecure-skip-tls-verify …): the text says which
// and what to use instead, and never holds a credential.
base::Result<Config> read_kubeconfig(const std::string& path, const std::string& context);

// The same of its text; `read_file` gets the absolute path of a file that the kubeconfig names.
using ReadFile = std::function<base::Result<std::string>(const std::string& path)>;
base::Result<Config> kubeconfig_from_text(const std::string& text, const std::string& folder,
                                          const std::string& context, const ReadFile& read_file);

}  // namespace dbrestore::kube
