#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "kube/config.h"

namespace dbrestore::kube {
namespace {

using base::ErrorKind;

class ConfigTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::string pattern = ::testing::TempDir() + "dbrestore-config-XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    std::string write(const std::string& name, const std::string& text) const {
        const std::string path = folder_ + "/" + name;
        std::filesystem::create_directories(std::filesystem::path(path).parent_path());
        std::ofstream(path) << text;
        return path;
    }
    Environment environment() const {
        return [this](const std::string& name) -> std::optional<std::string> {
            const auto at = variables_.find(name);
            return at == variables_.end() ? std::nullopt : std::optional(at->second);
        };
    }

    std::string folder_;
    std::map<std::string, std::string> variables_;
};

// A kubeconfig with one context; "CA" in base64 is Q0E=, "CERT" Q0VSVA==, "KEY" S0VZ.
std::string kubeconfig(const std::string& cluster, const std::string& user) {
    return "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
           "contexts: [{name: here, context: {cluster: c, user: u, namespace: shop}}]\n"
           "clusters: [{name: c, cluster: {" +
           cluster + "}}]\nusers: [{name: u, user: {" + user + "}}]\n";
}
const std::string kCluster = "server: 'https://10.0.0.1:6443/', certificate-authority-data: Q0E=";

TEST_F(ConfigTest, ReadsAKubeconfigWithDataInIt) {
    const auto config = read_kubeconfig(
        write("config",
              kubeconfig(kCluster + ", tls-server-name: kube.example",
                         "client-certificate-data: Q0VSVA==, client-key-data: S0VZ, token: secret")),
        "");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->server, "https://10.0.0.1:6443");
    EXPECT_EQ(config->namespace_name, "shop");
    EXPECT_EQ(config->certificate_authority_pem, "CA");
    EXPECT_EQ(config->client_certificate_pem, "CERT");
    EXPECT_EQ(config->client_key_pem, "KEY");
    EXPECT_EQ(config->token, "secret");
    EXPECT_EQ(config->tls_server_name, "kube.example");
}

TEST_F(ConfigTest, TakesPathsRelativeToTheKubeconfig) {
    write("pki/ca.crt", "CA of a file");
    write("pki/me.crt", "CERT of a file");
    write("pki/me.key", "KEY of a file");
    const auto config = read_kubeconfig(
        write("config",
              kubeconfig("server: https://host, certificate-authority: pki/ca.crt",
                         "client-certificate: pki/me.crt, client-key: pki/me.key, tokenFile: pki/token")),
        "");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->certificate_authority_pem, "CA of a file");
    EXPECT_EQ(config->client_certificate_pem, "CERT of a file");
    EXPECT_EQ(config->client_key_pem, "KEY of a file");
    EXPECT_EQ(config->token_file, folder_ + "/pki/token");
}

TEST_F(ConfigTest, TheContextThatIsAskedForWins) {
    const std::string path =
        write("config",
              "current-context: one\n"
              "contexts:\n"
              "- {name: one, context: {cluster: c1}}\n"
              "- {name: two, context: {cluster: c2}}\n"
              "clusters:\n"
              "- {name: c1, cluster: {server: 'https://one', certificate-authority-data: Q0E=}}\n"
              "- {name: c2, cluster: {server: 'http://two'}}\n");
    EXPECT_EQ(read_kubeconfig(path, "")->server, "https://one");
    EXPECT_EQ(read_kubeconfig(path, "two")->server, "http://two");
    EXPECT_EQ(read_kubeconfig(path, "two")->namespace_name, "default");
}

struct BadKubeconfig {
    const char* given;
    std::string text;
    const char* told;  // part of the error
};

TEST_F(ConfigTest, SaysWhatIsWrongWithAKubeconfig) {
    const std::string ca = "certificate-authority-data: Q0E=";
    const std::vector<BadKubeconfig> table{
        {"nothing", "", "not a kubeconfig"},
        {"a list", "[1, 2]", "not a kubeconfig"},
        {"broken YAML", "a: [1, 2\nb: }", "not valid YAML at line"},
        {"a YAML tag that lies", "current-context: !!binary [x]", "no current-context"},
        {"no current-context", "clusters: []", "no current-context"},
        {"a quote that is not closed", "current-context: \"here\n- user: {token: secret}\n  name: \"",
         "no context named (not shown"},
        {"a file's name whose quote is not closed",
         kubeconfig("server: 'https://h', certificate-authority: 'ca.crt}}, token: secret'", ""),
         "certificate-authority: the file (not shown"},
        {"a context that is missing", "current-context: gone", "no context named \"gone\""},
        {"lists of the wrong type", "current-context: here\ncontexts: {name: here}", "no context named"},
        {"entries of the wrong type", "current-context: here\ncontexts: [1, [], {name: [here], context: 5}]",
         "no context named"},
        {"a cluster that is missing", "current-context: a\ncontexts: [{name: a, context: {cluster: gone}}]",
         "no cluster named \"gone\""},
        {"a user that is missing",
         "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: gone}}]\n"
         "clusters: [{name: c, cluster: {server: 'https://h', certificate-authority-data: Q0E=}}]",
         "no user named \"gone\""},
        {"no server", kubeconfig(ca, ""), "must begin with https://"},
        {"another scheme", kubeconfig("server: 'ftp://h', " + ca, ""), "must begin with https://"},
        {"a server with a user in it", kubeconfig("server: 'https://me:pw@h', " + ca, ""), "plain address"},
        {"no authority", kubeconfig("server: https://h", "token: t"), "no certificate authority"},
        {"an authority that is not base64",
         kubeconfig("server: https://h, certificate-authority-data: '%%'", ""),
         "certificate-authority-data is not base64"},
        {"an authority whose file is missing",
         kubeconfig("server: https://h, certificate-authority: gone.crt", ""), "gone.crt"},
        {"a certificate without a key", kubeconfig(kCluster, "client-certificate-data: Q0VSVA=="),
         "one is missing"},
        {"a token over http", kubeconfig("server: http://h", "token: t"), "over http"},
        {"a token with a line break", kubeconfig(kCluster, "token: \"a\\r\\nX-Evil: 1\""), "line break"},
        {"insecure-skip-tls-verify", kubeconfig(kCluster + ", insecure-skip-tls-verify: true", ""),
         "insecure-skip-tls-verify, which is not supported; add the API server's authority"},
        {"a proxy", kubeconfig(kCluster + ", proxy-url: 'http://proxy'", ""),
         "proxy-url, which is not supported"},
        {"exec", kubeconfig(kCluster, "exec: {command: aws}"), "exec, which is not supported; use a token"},
        {"an auth-provider", kubeconfig(kCluster, "auth-provider: {name: gcp}"),
         "auth-provider, which is not"},
        {"a password", kubeconfig(kCluster, "username: me, password: hunter2"),
         "username, which is not supported"},
        {"impersonation", kubeconfig(kCluster, "token: t, as: root"), "as, which is not supported"},
        {"brackets without end", std::string(200'000, '['), "not valid YAML"},
        {"bytes that are no text", std::string("\x00\xff\xfe\x01", 4), ""},
    };
    for (const auto& [given, text, told] : table) {
        const auto config = read_kubeconfig(write("config", text), "");
        ASSERT_FALSE(config) << given;
        const std::string message = base::to_text(config.error());
        EXPECT_NE(message.find(told), std::string::npos) << given << ": " << message;
        EXPECT_NE(message.find(folder_ + "/config"), std::string::npos) << given << ": " << message;
        EXPECT_EQ(message.find("hunter2"), std::string::npos) << given;
    }
}

TEST_F(ConfigTest, AliasesThatRepeatEachOtherDoNotExplode) {
    std::string bomb = "a0: &a0 [x, x]\n";
    for (int i = 1; i < 40; ++i) {
        const std::string before = "*a" + std::to_string(i - 1);
        bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before + ", " + before + "]\n";
    }
    const auto config = read_kubeconfig(write("config", bomb + kubeconfig(kCluster, "token: t")), "");
    EXPECT_TRUE(config) << config.error().message;
}

TEST_F(ConfigTest, ARefusedFieldThatIsOffIsNoReasonToRefuse) {
    const auto config = read_kubeconfig(
        write("config",
              kubeconfig(kCluster + ", insecure-skip-tls-verify: false, proxy-url: ''", "exec: null")),
        "");
    EXPECT_TRUE(config) << config.error().message;
}

TEST_F(ConfigTest, RefusesAKubeconfigThatIsMissingOrTooLarge) {
    EXPECT_EQ(read_kubeconfig(folder_ + "/gone", "").error().kind, ErrorKind::not_found);
    const auto large = read_kubeconfig(write("config", std::string((1 << 20) + 1, '#')), "");
    ASSERT_FALSE(large);
    EXPECT_EQ(large.error().kind, ErrorKind::invalid);
}

TEST_F(ConfigTest, InAPodItUsesTheServiceAccount) {
    variables_ = {{"KUBERNETES_SERVICE_HOST", "10.96.0.1"}, {"KUBERNETES_SERVICE_PORT", "443"}};
    write("ca.crt", "CA");
    write("token", "secret\n");
    write("namespace", "operators\n");
    const auto config = load_config({}, environment(), folder_);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->server, "https://10.96.0.1:443");
    EXPECT_EQ(config->namespace_name, "operators");
    EXPECT_EQ(config->certificate_authority_pem, "CA");
    EXPECT_EQ(config->token, "secret");
    EXPECT_EQ(config->token_file, folder_ + "/token");
    EXPECT_EQ(config->tls_server_name, "");
}

TEST_F(ConfigTest, InAPodWithAnIpv6AddressItChecksTheServersName) {
    variables_ = {{"KUBERNETES_SERVICE_HOST", "fd00::1"}, {"KUBERNETES_SERVICE_PORT", "443"}};
    for (const char* name : {"ca.crt", "token", "namespace"}) write(name, "x");
    const auto config = in_cluster_config(environment(), folder_);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->server, "https://[fd00::1]:443");
    EXPECT_EQ(config->tls_server_name, "kubernetes.default.svc");
}

TEST_F(ConfigTest, InAPodWithoutAServiceAccountItSaysWhatIsMissing) {
    variables_ = {{"KUBERNETES_SERVICE_HOST", "10.96.0.1"}, {"KUBERNETES_SERVICE_PORT", "443"}};
    write("ca.crt", "CA");
    const auto config = in_cluster_config(environment(), folder_);
    ASSERT_FALSE(config);
    EXPECT_EQ(config.error().kind, ErrorKind::not_found);
    EXPECT_NE(config.error().message.find("token"), std::string::npos) << config.error().message;
}

TEST_F(ConfigTest, LooksInOrderAtFlagVariablePodAndHome) {
    const auto file = [&](const std::string& name, const std::string& server) {
        return write(name,
                     kubeconfig("server: 'https://" + server + "', certificate-authority-data: Q0E=", ""));
    };
    const auto server = [&](const ConfigSource& source) {
        const auto config = load_config(source, environment(), folder_);
        return config ? config->server : base::to_text(config.error());
    };
    EXPECT_NE(server({}).find("no Kubernetes API server is configured"), std::string::npos);

    file(".kube/config", "home");
    variables_["HOME"] = folder_;
    EXPECT_EQ(server({}), "https://home");

    variables_["KUBERNETES_SERVICE_HOST"] = "pod";
    variables_["KUBERNETES_SERVICE_PORT"] = "443";
    for (const char* name : {"ca.crt", "token", "namespace"}) write(name, "x");
    EXPECT_EQ(server({}), "https://pod:443");

    variables_["KUBECONFIG"] = file("variable", "variable");
    EXPECT_EQ(server({}), "https://variable");
    EXPECT_EQ(server({file("flag", "flag"), ""}), "https://flag");

    variables_["KUBECONFIG"] = "/a:/b";
    EXPECT_NE(server({}).find("more than one file"), std::string::npos);
}

}  // namespace
}  // namespace dbrestore::kube
