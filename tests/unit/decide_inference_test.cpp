// What a pod template says about the database in it.

#include <gtest/gtest.h>

#include "decide/inference.h"
#include "support/world_builder.h"

namespace dbrestore::testing {
namespace {

using nlohmann::json;
using resources::Inferred;

struct Given {
    resources::PostgresServer server = the_server();
    resources::Workload workload = the_workload();
    json& container() { return workload.pod_spec["containers"][0]; }
    json& mount() { return container()["volumeMounts"][0]; }
    void set(const std::string& name, json entry) {
        auto& env = container()["env"];
        for (auto at = env.begin(); at != env.end(); ++at) {
            if ((*at)["name"] == name) {
                env.erase(at);
                break;
            }
        }
        entry["name"] = name;
        if (entry.size() > 1) env.push_back(entry);
    }
};

json secret_key(const std::string& secret, const std::string& key) {
    return {{"valueFrom", {{"secretKeyRef", {{"name", secret}, {"key", key}}}}}};
}

Inferred inferred_from(const std::function<void(Given&)>& change) {
    Given given;
    change(given);
    const auto inference = decide::infer(given.server, given.workload);
    const auto* problem = std::get_if<decide::NotInferable>(&inference);
    EXPECT_EQ(problem, nullptr) << problem->reason << ": " << problem->message;
    return problem == nullptr ? std::get<Inferred>(inference) : Inferred{};
}

std::string reason_against(const std::function<void(Given&)>& change) {
    Given given;
    change(given);
    const auto inference = decide::infer(given.server, given.workload);
    const auto* problem = std::get_if<decide::NotInferable>(&inference);
    if (problem == nullptr) return "none";
    EXPECT_NE(problem->message.find("must"), std::string::npos)
        << "it says what must be: " << problem->message;
    return problem->reason;
}

TEST(Inference, reads_a_template_of_the_official_shape) {
    const Inferred i = inferred_from([](Given&) {});
    EXPECT_EQ(i.container, "postgres");
    EXPECT_EQ(i.image, "postgres:15");
    EXPECT_EQ(i.data_directory, "/var/lib/postgresql/data/pgdata");
    EXPECT_EQ(i.mount_path, "/var/lib/postgresql/data");
    EXPECT_EQ(i.volume, "data");
    EXPECT_EQ(i.claim_name, "data-shop-0");
    EXPECT_EQ(i.sub_path, "");
    EXPECT_EQ(i.user.value, "shop");
    EXPECT_EQ(i.database.value, "shop") << "the image names the database after its user";
    EXPECT_EQ(i.secret_name, "shop");
    EXPECT_EQ(i.password, (resources::Credential{"", "password"}));
    EXPECT_FALSE(i.uid) << "it starts as root, so a probe must tell";
    EXPECT_EQ(i.port, 5432);
}

TEST(Inference, finds_the_data_directory_and_its_volume) {
    const Inferred root = inferred_from([](Given& g) { g.set("PGDATA", json::object()); });
    EXPECT_EQ(root.data_directory, "/var/lib/postgresql/data");
    const Inferred slashes = inferred_from([](Given& g) {
        g.set("PGDATA", {{"value", "/var/lib/postgresql/data/pgdata/"}});
        g.mount()["mountPath"] = "/var/lib/postgresql/data/";
    });
    EXPECT_EQ(slashes.data_directory, "/var/lib/postgresql/data/pgdata");
    EXPECT_EQ(slashes.mount_path, "/var/lib/postgresql/data");
    const Inferred sub = inferred_from([](Given& g) { g.mount()["subPath"] = "pg"; });
    EXPECT_EQ(sub.sub_path, "pg");
    const Inferred deepest = inferred_from([](Given& g) {
        g.container()["volumeMounts"].push_back({{"name", "home"}, {"mountPath", "/var/lib"}});
        g.workload.pod_spec["volumes"] = json::parse(R"([{"name": "home", "emptyDir": {}}])");
    });
    EXPECT_EQ(deepest.volume, "data");
    const Inferred existing = inferred_from([](Given& g) {
        g.workload.claim_templates.clear();
        g.workload.pod_spec["volumes"] =
            json::parse(R"([{"name": "data", "persistentVolumeClaim": {"claimName": "shop-disk"}}])");
    });
    EXPECT_EQ(existing.claim_name, "shop-disk");
    const Inferred deployment = inferred_from([](Given& g) {
        g.server.workload_kind = g.workload.kind = "Deployment";
        g.workload.claim_templates.clear();
        g.workload.pod_spec["volumes"] =
            json::parse(R"([{"name": "data", "persistentVolumeClaim": {"claimName": "shop-disk"}}])");
    });
    EXPECT_EQ(deployment.claim_name, "shop-disk");
}

TEST(Inference, finds_the_credentials) {
    const Inferred all = inferred_from([](Given& g) {
        g.set("POSTGRES_USER", secret_key("shop", "user"));
        g.set("POSTGRES_DB", secret_key("shop", "db"));
    });
    EXPECT_EQ(all.user.secret_key, "user");
    EXPECT_EQ(all.database.secret_key, "db");
    const Inferred nobody = inferred_from([](Given& g) { g.set("POSTGRES_USER", json::object()); });
    EXPECT_EQ(nobody.user.value, "postgres");
    EXPECT_EQ(nobody.database.value, "postgres");
    const Inferred file = inferred_from([](Given& g) {
        g.set("POSTGRES_PASSWORD", json::object());
        g.set("POSTGRES_PASSWORD_FILE", {{"value", "/run/secrets/pw"}});
        g.container()["volumeMounts"].push_back({{"name", "pw"}, {"mountPath", "/run/secrets"}});
        g.workload.pod_spec["volumes"] = json::parse(
            R"([{"name": "pw", "secret": {"secretName": "files", "items": [{"key": "the-password", "path": "pw"}]}}])");
    });
    EXPECT_EQ(file.secret_name, "files");
    EXPECT_EQ(file.password.secret_key, "the-password");
    const Inferred stated = inferred_from([](Given& g) {
        g.server.overrides.secret_name = "mine";
        g.server.overrides.database = "warehouse";
        g.set("POSTGRES_DB", secret_key("shop", "db"));
    });
    EXPECT_EQ(stated.secret_name, "mine");
    EXPECT_EQ(stated.user.secret_key, "username");
    EXPECT_EQ(stated.password.secret_key, "password");
    EXPECT_EQ(stated.database, (resources::Credential{"warehouse", ""}))
        << "what is stated needs no look into the template";
}

TEST(Inference, finds_owner_and_port) {
    const auto context = [](const char* text) { return json::parse(text); };
    const Inferred pod = inferred_from([&](Given& g) {
        g.workload.pod_spec["securityContext"] = context(R"({"runAsUser": 70, "runAsGroup": 71})");
    });
    EXPECT_EQ(pod.uid, 70);
    EXPECT_EQ(pod.gid, 71);
    const Inferred container = inferred_from([&](Given& g) {
        g.workload.pod_spec["securityContext"] = context(R"({"runAsUser": 70})");
        g.container()["securityContext"] = context(R"({"runAsUser": 999})");
    });
    EXPECT_EQ(container.uid, 999);
    const Inferred root = inferred_from([&](Given& g) {
        g.workload.pod_spec["securityContext"] = context(R"({"runAsUser": 70})");
        g.container()["securityContext"] = context(R"({"runAsUser": 0})");
    });
    EXPECT_FALSE(root.uid) << "the container's own word counts, and root says nothing";
    EXPECT_EQ(inferred_from([](Given& g) { g.server.overrides.uid = 26; }).uid, 26);
    EXPECT_EQ(inferred_from([](Given& g) { g.container()["ports"][0]["containerPort"] = 6000; }).port, 6000);
    EXPECT_EQ(inferred_from([](Given& g) { g.set("PGPORT", {{"value", "6001"}}); }).port, 6001);
    EXPECT_EQ(inferred_from([](Given& g) {
                  g.set("PGPORT", {{"value", "99999999999999999999"}});
              }).port,
              5432);
    EXPECT_EQ(inferred_from([](Given& g) { g.server.overrides.port = 6002; }).port, 6002);
}

TEST(Inference, finds_the_container_among_several) {
    const auto add = [](Given& g, const char* text) {
        g.workload.pod_spec["containers"].push_back(json::parse(text));
    };
    EXPECT_EQ(
        inferred_from([&](Given& g) { add(g, R"({"name": "exporter", "image": "exporter:1"})"); }).container,
        "postgres");
    EXPECT_EQ(inferred_from([&](Given& g) {
                  add(g, R"({"name": "exporter", "image": "quay.io/postgres-exporter:1"})");
                  g.server.overrides.container = "postgres";
              }).container,
              "postgres");
    EXPECT_EQ(inferred_from([&](Given& g) {
                  add(g, R"({"name": "exporter", "image": "quay.io/postgres-exporter:1"})");
              }).container,
              "postgres")
        << "an exporter has no data";
    EXPECT_EQ(reason_against([&](Given& g) {
                  json second = g.container();
                  second["name"] = "second";
                  g.workload.pod_spec["containers"].push_back(second);
              }),
              "ContainerUnknown");
    EXPECT_EQ(reason_against([&](Given& g) {
                  g.container()["volumeMounts"] = json::array();
                  add(g, R"({"name": "exporter", "image": "quay.io/postgres-exporter:1"})");
              }),
              "ContainerUnknown");
    EXPECT_EQ(reason_against([](Given& g) { g.server.overrides.container = "db"; }), "ContainerNotFound");
}

TEST(Inference, says_what_must_be_where_it_cannot_tell) {
    EXPECT_EQ(reason_against([](Given& g) { g.workload.pod_spec = nullptr; }), "ClaimNotFound");
    EXPECT_EQ(reason_against([](Given& g) {
                  g.set("PGDATA", {{"valueFrom", {{"configMapKeyRef", {{"name", "c"}}}}}});
              }),
              "DataDirectoryUnknown");
    EXPECT_EQ(reason_against([](Given& g) {
                  g.set("PGDATA", {{"value", "$(ROOT)/pg"}});
              }),
              "DataDirectoryUnknown");
    EXPECT_EQ(reason_against([](Given& g) { g.set("PGDATA", {{"value", "/srv/pg"}}); }), "VolumeNotFound");
    EXPECT_EQ(reason_against([](Given& g) { g.mount()["mountPath"] = "/var/lib/postgresql/dat"; }),
              "VolumeNotFound");
    EXPECT_EQ(reason_against([](Given& g) { g.mount()["subPathExpr"] = "$(POD)"; }), "SubPathUnknown");
    EXPECT_EQ(reason_against([](Given& g) { g.workload.claim_templates.clear(); }), "ClaimNotFound");
    EXPECT_EQ(reason_against([](Given& g) {
                  g.set("POSTGRES_PASSWORD", {{"value", "literal"}});
              }),
              "CredentialsUnknown");
    EXPECT_EQ(reason_against([](Given& g) { g.set("POSTGRES_PASSWORD", json::object()); }),
              "CredentialsUnknown");
    EXPECT_EQ(reason_against([](Given& g) { g.set("POSTGRES_USER", secret_key("another", "user")); }),
              "CredentialsUnknown");
    EXPECT_EQ(reason_against([](Given& g) {
                  g.set("POSTGRES_DB", {{"valueFrom", {{"configMapKeyRef", {{"name", "c"}}}}}});
              }),
              "CredentialsUnknown");
}

TEST(Inference, a_literal_password_is_never_copied) {
    Given given;
    given.set("POSTGRES_PASSWORD", {{"value", "hunter2"}});
    const auto refused = std::get<decide::NotInferable>(decide::infer(given.server, given.workload));
    EXPECT_EQ(refused.message.find("hunter2"), std::string::npos);
}

TEST(ServerArguments, are_those_of_postgres_itself) {
    const auto arguments = [](const char* container) {
        return decide::server_arguments(json::parse(container));
    };
    const std::vector<std::string> expected{"-c", "work_mem=8MB"};
    EXPECT_EQ(arguments(R"({"args": ["-c", "work_mem=8MB"]})"), expected);
    EXPECT_EQ(arguments(R"({"args": ["postgres", "-c", "work_mem=8MB"]})"), expected);
    EXPECT_EQ(
        arguments(R"({"command": ["/usr/lib/postgresql/15/bin/postgres", "-c"], "args": ["work_mem=8MB"]})"),
        expected);
    EXPECT_EQ(
        arguments(R"({"command": ["docker-entrypoint.sh"], "args": ["postgres", "-c", "work_mem=8MB"]})"),
        expected);
    EXPECT_TRUE(arguments(R"({"args": ["serve", "-x"]})").empty());
    EXPECT_TRUE(arguments("{}").empty());
}

}  // namespace
}  // namespace dbrestore::testing
