// A kubeconfig. The files that it names hold their own path, so that nothing of this machine is read.

#include "fuzz/properties.h"
#include "kube/config.h"

namespace dbrestore::fuzz {
namespace {

constexpr std::string_view marked_token = "Zq7-marked-token-9vX";

// With a token that stands in no message by chance, where the input has one.
std::string with_marked_token(const std::string& input) {
    std::string_view rest = input;
    const std::string_view before = take_until(rest, "token: ");
    const size_t end = std::min(rest.find('\n'), rest.size());
    return std::string(before).append("token: ").append(marked_token).append(rest.substr(end));
}

void check(const std::string& input) {
    bool relative = false;
    const auto config = kube::kubeconfig_from_text(input, "/folder", "",
                                                   [&](const std::string& path) -> base::Result<std::string> {
                                                       relative = relative || !path.starts_with('/');
                                                       return path;
                                                   });
    require(!relative, "paths are relative to the kubeconfig's folder, not to ours");
    if (!config) {
        const auto marked = kube::kubeconfig_from_text(
            with_marked_token(input), "/folder", "",
            [](const std::string& path) -> base::Result<std::string> { return path; });
        require(marked || base::to_text(marked.error()).find(marked_token) == std::string::npos,
                "no message holds a credential", marked ? "" : base::to_text(marked.error()));
        return;
    }
    const bool secure = config->server.starts_with("https://");
    require(secure || config->server.starts_with("http://"), "the server is an address", config->server);
    require(config->server.find_first_of(" \r\n") == std::string::npos, "no header can be smuggled in");
    require(config->token.find_first_of("\r\n") == std::string::npos, "nor by the token");
    require(secure || (config->token.empty() && config->token_file.empty() && config->client_key_pem.empty()),
            "credentials never go over http");
    require(!secure || !config->certificate_authority_pem.empty(), "https has an authority");
    require(config->client_certificate_pem.empty() == config->client_key_pem.empty(),
            "certificate and key come together");
    require(!config->namespace_name.empty(), "there is always a namespace");
}

}  // namespace
}  // namespace dbrestore::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    dbrestore::fuzz::check(std::string(dbrestore::fuzz::text_of(data, size)));
    return 0;
}
