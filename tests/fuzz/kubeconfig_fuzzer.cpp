// A kubeconfig. The files that it names hold their own path, so that nothing of this machine is read.

#include "fuzz/properties.h"
#include "kube/config.h"

namespace dbrestore::fuzz {
namespace {

// With a token that the fuzzer cannot have put elsewhere, where the input has a key for one. ("&token: x" is
// an anchor and "!token: x" a tag: there x is a value that may well be shown.)
std::string with_token(const std::string& input, const std::string& token) {
    std::string_view rest = input;
    const std::string_view before = take_until(rest, "token: ");
    if (!before.empty() && std::string_view(" \n{,").find(before.back()) == std::string_view::npos) return {};
    const size_t end = std::min(rest.find('\n'), rest.size());
    return std::string(before).append("token: ").append(token).append(rest.substr(end));
}

void no_message_holds_its_token(const std::string& input) {
    const std::string token = base::sha256_hex(input);
    for (const bool files_can_be_read : {true, false}) {
        const auto config = kube::kubeconfig_from_text(
            with_token(input, token), "/folder", "",
            [&](const std::string& path) -> base::Result<std::string> {
                if (files_can_be_read) return path;
                return base::error(base::ErrorKind::not_found, "cannot open " + path);
            });
        require(config || base::to_text(config.error()).find(token) == std::string::npos,
                "no message holds a credential", config ? "" : base::to_text(config.error()));
    }
}

void check(const std::string& input) {
    bool relative = false;
    const auto config = kube::kubeconfig_from_text(input, "/folder", "",
                                                   [&](const std::string& path) -> base::Result<std::string> {
                                                       relative = relative || !path.starts_with('/');
                                                       return path;
                                                   });
    require(!relative, "paths are relative to the kubeconfig's folder, not to ours");
    no_message_holds_its_token(input);
    if (!config) return;
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
