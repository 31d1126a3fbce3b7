// The client against a real API server, which KUBECONFIG names; without one these tests fail.

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "kube/client.h"
#include "kube/session.h"
#include "kube/watch.h"
#include "resources/json_fields.h"

namespace dbrestore::kube {
namespace {

using base::ErrorKind;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

const Resource kNamespaces{"", "v1", "namespaces"};
const Resource kConfigMaps{"", "v1", "configmaps"};
const Resource kStatefulSets{"apps", "v1", "statefulsets"};

json config_map(const std::string& name, const std::string& value) {
    return {{"apiVersion", "v1"},
            {"kind", "ConfigMap"},
            {"metadata", {{"name", name}, {"labels", {{"purpose", "kube-client-test"}}}}},
            {"data", {{"value", value}}}};
}

std::string version_of(const json& object) {
    return resources::text_at(object, "metadata.resourceVersion");
}

class RealServer : public ::testing::Test {
protected:
    void SetUp() override {
        ASSERT_TRUE(process_environment("KUBECONFIG"))
            << "these tests need a cluster: eval \"$(hack/cluster env)\"";
        auto config = load_config({});
        ASSERT_TRUE(config) << base::to_text(config.error());
        auto http = connect(*config);
        ASSERT_TRUE(http) << base::to_text(http.error());
        config_ = *config;
        http_ = std::move(*http);
        client_ = std::make_unique<Client>(*http_);
        static int test_number = 0;
        namespace_ = "kube-client-test-" + std::to_string(getpid()) + "-" + std::to_string(++test_number);
        const auto created = client_->create(
            kNamespaces, "",
            {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", namespace_}}}});
        ASSERT_TRUE(created) << base::to_text(created.error());
    }
    void TearDown() override {
        if (!client_) return;
        EXPECT_TRUE(client_->remove(kNamespaces, {"", namespace_}));
    }

    Key key(const std::string& name) const { return {namespace_, name}; }
    json create(const std::string& name, const std::string& value) {
        auto created = client_->create(kConfigMaps, namespace_, config_map(name, value));
        EXPECT_TRUE(created) << base::to_text(created.error());
        return created ? *created : json();
    }

    Config config_;
    std::unique_ptr<Http> http_;
    std::unique_ptr<Client> client_;
    std::string namespace_;
};

template <typename Condition>
bool comes_true(Condition&& condition, milliseconds limit = seconds(10)) {
    const auto deadline = steady_clock::now() + limit;
    while (!condition()) {
        if (steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(milliseconds(5));
    }
    return true;
}

TEST_F(RealServer, CreatesReadsListsAndDeletes) {
    const json created = create("crud", "1");
    EXPECT_EQ(client_->create(kConfigMaps, namespace_, config_map("crud", "2")).error().kind,
              ErrorKind::conflict);
    const auto read = client_->get(kConfigMaps, key("crud"));
    ASSERT_TRUE(read) << base::to_text(read.error());
    EXPECT_EQ((*read)["data"]["value"], "1");

    for (int i = 0; i < 7; ++i) create("paged-" + std::to_string(i), "x");
    ListOptions options;
    options.limit = 3;
    options.label_selector = "purpose=kube-client-test";
    const auto page = client_->list(kConfigMaps, namespace_, options);
    ASSERT_TRUE(page) << base::to_text(page.error());
    EXPECT_EQ(page->items.size(), 3u);
    EXPECT_FALSE(page->continue_token.empty());
    options.continue_token = page->continue_token;
    EXPECT_EQ(client_->list(kConfigMaps, namespace_, options)->items.size(), 3u);
    EXPECT_GE(client_->list_all(kConfigMaps, namespace_, options.label_selector)->size(), 8u);

    EXPECT_EQ(client_->remove(kConfigMaps, key("crud"), {"another-uid"}).error().kind, ErrorKind::conflict);
    EXPECT_TRUE(client_->remove(kConfigMaps, key("crud"), {resources::text_at(created, "metadata.uid")}));
    EXPECT_EQ(client_->get(kConfigMaps, key("crud")).error().kind, ErrorKind::not_found);
}

TEST_F(RealServer, AppliesOnlyOverWhatItHasRead) {
    const auto first =
        client_->apply(kConfigMaps, key("applied"), "", config_map("applied", "1"), {"one", true});
    ASSERT_TRUE(first) << base::to_text(first.error());

    json with_version = config_map("applied", "2");
    with_version["metadata"]["resourceVersion"] = version_of(*first);
    const auto second = client_->apply(kConfigMaps, key("applied"), "", with_version, {"one", true});
    ASSERT_TRUE(second) << base::to_text(second.error());
    EXPECT_EQ((*second)["data"]["value"], "2");
    const auto late = client_->apply(kConfigMaps, key("applied"), "", with_version, {"one", true});
    ASSERT_FALSE(late) << "the resourceVersion is the old one";
    EXPECT_EQ(late.error().kind, ErrorKind::conflict);

    const auto other =
        client_->apply(kConfigMaps, key("applied"), "", config_map("applied", "3"), {"other", false});
    ASSERT_FALSE(other) << "another manager owns the field";
    EXPECT_EQ(other.error().kind, ErrorKind::conflict);
    EXPECT_TRUE(client_->apply(kConfigMaps, key("applied"), "", config_map("applied", "3"), {"other", true}));
}

TEST_F(RealServer, PatchesMetadataAndScales) {
    create("patched", "1");
    const json finalizers = {{"metadata", {{"finalizers", {"dbrestore.dev/test"}}}}};
    const auto patched = client_->merge_patch(kConfigMaps, key("patched"), "", finalizers, "test");
    ASSERT_TRUE(patched) << base::to_text(patched.error());
    EXPECT_EQ((*patched)["metadata"]["finalizers"], json::array({"dbrestore.dev/test"}));
    EXPECT_EQ((*patched)["data"]["value"], "1");
    ASSERT_TRUE(client_->merge_patch(kConfigMaps, key("patched"), "",
                                     {{"metadata", {{"finalizers", nullptr}}}}, "test"));

    const json pod = {{"metadata", {{"labels", {{"app", "none"}}}}},
                      {"spec",
                       {{"nodeSelector", {{"there-is", "no-such-node"}}},
                        {"containers", {{{"name", "main"}, {"image", "none"}}}}}}};
    const json workload = {{"apiVersion", "apps/v1"},
                           {"kind", "StatefulSet"},
                           {"metadata", {{"name", "scaled"}}},
                           {"spec",
                            {{"replicas", 0},
                             {"serviceName", "none"},
                             {"selector", {{"matchLabels", {{"app", "none"}}}}},
                             {"template", pod}}}};
    ASSERT_TRUE(client_->create(kStatefulSets, namespace_, workload));
    const auto scaled =
        client_->merge_patch(kStatefulSets, key("scaled"), "scale", {{"spec", {{"replicas", 1}}}}, "test");
    ASSERT_TRUE(scaled) << base::to_text(scaled.error());
    EXPECT_EQ((*client_->get(kStatefulSets, key("scaled"), "scale"))["spec"]["replicas"], 1);
}

TEST_F(RealServer, SaysWhyItRefuses) {
    const auto missing = client_->get(kConfigMaps, key("missing"));
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().kind, ErrorKind::not_found);
    EXPECT_NE(missing.error().message.find("configmaps \"missing\" not found"), std::string::npos)
        << missing.error().message;
    EXPECT_EQ(client_->create(kConfigMaps, namespace_, config_map("Not A Name", "")).error().kind,
              ErrorKind::invalid);
    EXPECT_EQ(client_->pod_log(key("missing"), {}).error().kind, ErrorKind::not_found);

    Config nobody = config_;
    nobody.client_certificate_pem.clear();
    nobody.client_key_pem.clear();
    nobody.token_file.clear();
    nobody.token = "not-a-token";
    const auto http = connect(nobody);
    ASSERT_TRUE(http);
    EXPECT_EQ(Client(**http).get(kConfigMaps, key("missing")).error().kind, ErrorKind::refused);
}

// Watching

// Makes the watch with this number begin at a version that the server has long forgotten.
class ForgottenPosition final : public Http {
public:
    ForgottenPosition(Http& http, int watch_number) : http_(http), watches_left_(watch_number) {}

    base::Result<Response> send(const Request& request, std::stop_token stop) override {
        return http_.send(request, stop);
    }
    base::Result<OpenedStream> open(const Request& request, std::stop_token stop) override {
        if (--watches_left_ != 0) return http_.open(request, stop);
        Request outdated = request;
        const size_t at = outdated.target.find("resourceVersion=");
        outdated.target.replace(at, outdated.target.find('&', at) - at, "resourceVersion=1");
        return http_.open(outdated, stop);
    }

private:
    Http& http_;
    int watches_left_;
};

class RealWatch : public RealServer {
protected:
    static std::optional<std::string> value_of(const json& object) {
        return resources::text_at(object, "data.value");
    }
    ReflectorOptions options() const {
        ReflectorOptions options;
        options.namespace_name = namespace_;
        options.label_selector = "purpose=kube-client-test";
        options.page_limit = 2;
        options.base_delay = milliseconds(10);
        return options;
    }
    bool shows(const std::string& name, const std::string& value) const {
        const auto record = cache_.get(key(name));
        return record && *record == value;
    }

    Cache<std::string> cache_{value_of};
};

TEST_F(RealWatch, FollowsWhatHappens) {
    for (int i = 0; i < 5; ++i) create("before-" + std::to_string(i), std::to_string(i));
    Reflector reflector(*http_, cache_, kConfigMaps, options());
    std::jthread thread([&](const std::stop_token& stop) { reflector.run(stop); });
    ASSERT_TRUE(cache_.wait_synced({}));
    EXPECT_GE(cache_.size(), 5u);
    EXPECT_GE(reflector.counts().lists, 3u) << "pages of two";
    EXPECT_TRUE(shows("before-4", "4"));

    const json created = create("during", "1");
    EXPECT_TRUE(comes_true([&] { return cache_.has_seen(version_of(created)); }));
    EXPECT_TRUE(shows("during", "1"));
    const auto changed =
        client_->merge_patch(kConfigMaps, key("during"), "", {{"data", {{"value", "2"}}}}, "test");
    ASSERT_TRUE(changed);
    EXPECT_TRUE(comes_true([&] { return cache_.has_seen(version_of(*changed)); }));
    EXPECT_TRUE(shows("during", "2"));
    ASSERT_TRUE(client_->remove(kConfigMaps, key("during")));
    EXPECT_TRUE(comes_true([&] { return cache_.get(key("during")) == nullptr; }));
    EXPECT_EQ(reflector.counts().errors, 0u);

    const auto start = steady_clock::now();
    thread.request_stop();
    thread.join();
    EXPECT_LT(steady_clock::now() - start, seconds(1)) << "the stop of a watch that is silent";
}

TEST_F(RealWatch, GoesOnWhenTheServerEndsTheWatch) {
    ReflectorOptions short_watches = options();
    short_watches.watch_timeout = seconds(1);
    Reflector reflector(*http_, cache_, kConfigMaps, short_watches);
    std::jthread thread([&](const std::stop_token& stop) { reflector.run(stop); });
    ASSERT_TRUE(comes_true([&] { return reflector.counts().watches >= 3; }));
    create("after-the-end", "1");
    EXPECT_TRUE(comes_true([&] { return shows("after-the-end", "1"); }));
    EXPECT_EQ(reflector.counts().errors, 0u);
}

// A kind of its own: the server remembers the history of a kind from its definition on, so that version 1 is
// surely forgotten, however young the cluster is.
class RealWatchOfOwnKind : public RealWatch {
protected:
    void SetUp() override {
        RealWatch::SetUp();
        if (HasFatalFailure()) return;
        const json schema = {{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}};
        const json version = {
            {"name", "v1"}, {"served", true}, {"storage", true}, {"schema", {{"openAPIV3Schema", schema}}}};
        const json names = {{"plural", "things"}, {"singular", "thing"}, {"kind", "Thing"}};
        const json definition = {
            {"apiVersion", "apiextensions.k8s.io/v1"},
            {"kind", "CustomResourceDefinition"},
            {"metadata", {{"name", definition_.name}}},
            {"spec",
             {{"group", group_}, {"scope", "Namespaced"}, {"names", names}, {"versions", {version}}}}};
        const auto created = client_->create(kDefinitions, "", definition);
        ASSERT_TRUE(created) << base::to_text(created.error());
        ASSERT_TRUE(comes_true([&] { return client_->list(things_, namespace_).ok(); }, seconds(30)));
    }
    void TearDown() override {
        if (!client_) return;
        EXPECT_TRUE(client_->remove(kDefinitions, definition_));
        RealWatch::TearDown();
    }
    void create_thing(const std::string& name) {
        json thing = config_map(name, "1");
        thing["apiVersion"] = group_ + "/v1";
        thing["kind"] = "Thing";
        ASSERT_TRUE(comes_true([&] { return client_->create(things_, namespace_, thing).ok(); }));
    }

    const Resource kDefinitions{"apiextensions.k8s.io", "v1", "customresourcedefinitions"};
    const std::string group_ = "test" + std::to_string(getpid()) + ".dbrestore.dev";
    const Key definition_{"", "things." + group_};
    const Resource things_{group_, "v1", "things"};
};

TEST_F(RealWatchOfOwnKind, ListsAgainWhenTheServerHasForgottenItsPosition) {
    create_thing("kept");
    create_thing("vanishing");
    ForgottenPosition http(*http_, 2);
    ReflectorOptions short_watches = options();
    short_watches.watch_timeout = seconds(1);
    Reflector reflector(http, cache_, things_, short_watches);
    while (reflector.position().state != WatchState::watch) reflector.step({});
    reflector.step({});  // a good watch
    ASSERT_TRUE(client_->remove(things_, key("vanishing")));
    EXPECT_TRUE(shows("vanishing", "1"));

    const uint64_t errors = reflector.counts().errors;
    reflector.step({});  // the one that is too old
    EXPECT_EQ(reflector.counts().errors, errors + 1);
    ASSERT_EQ(reflector.position().state, WatchState::list);
    while (reflector.position().state != WatchState::watch) reflector.step({});
    EXPECT_TRUE(shows("kept", "1"));
    EXPECT_EQ(cache_.get(key("vanishing")), nullptr);
}

}  // namespace
}  // namespace dbrestore::kube
