// Where images keep what a restore needs, as far as a pod template tells: the official image before and from
// PostgreSQL 18, and Bitnami's.

#include <gtest/gtest.h>

#include "decide/inference.h"
#include "support/world_builder.h"

namespace dbrestore::testing {
namespace {

using nlohmann::json;
using resources::Credential;
using resources::Inferred;

decide::Inference inference_of(const std::string& image, const std::string& mount_path, const json& env) {
    resources::Workload workload = the_workload();
    workload.pod_spec["containers"][0]["image"] = image;
    workload.pod_spec["containers"][0]["volumeMounts"][0]["mountPath"] = mount_path;
    workload.pod_spec["containers"][0]["env"] = env;
    return decide::infer(the_server(), workload);
}

json literal(const std::string& name, const std::string& value) {
    return {{"name", name}, {"value", value}};
}

json secret(const std::string& name, const std::string& key) {
    return {{"name", name}, {"valueFrom", {{"secretKeyRef", {{"name", "shop"}, {"key", key}}}}}};
}

const json only_password = json::array({secret("POSTGRES_PASSWORD", "password")});

std::string directory_of(const std::string& image, const std::string& mount_path) {
    const auto inference = inference_of(image, mount_path, only_password);
    const auto* problem = std::get_if<decide::NotInferable>(&inference);
    return problem == nullptr ? std::get<Inferred>(inference).data_directory : problem->reason;
}

Inferred bitnami(const json& env) {
    const auto inference =
        inference_of("docker.io/bitnamilegacy/postgresql:17.5.0-debian-12-r1", "/bitnami/postgresql", env);
    const auto* problem = std::get_if<decide::NotInferable>(&inference);
    EXPECT_EQ(problem, nullptr) << problem->message;
    return problem == nullptr ? std::get<Inferred>(inference) : Inferred{};
}

TEST(OfficialImage, keeps_its_data_by_its_major_version) {
    const std::string before = "/var/lib/postgresql/data", folder = "/var/lib/postgresql",
                      of_18 = folder + "/18/docker";
    EXPECT_EQ(directory_of("postgres:17", before), before);
    EXPECT_EQ(directory_of("postgres", before), before);
    EXPECT_EQ(directory_of("registry.example.com:5000/db@sha256:18", before), before);
    EXPECT_EQ(directory_of("example.com/our-postgres:2024.1", before), before) << "the mount tells";
    EXPECT_EQ(directory_of("postgres:16", folder), before);
    for (const char* image :
         {"postgres:18", "docker.io/library/postgres:18.1-alpine3.22", "postgres:18.4@sha256:a02d",
          "postgres:18beta1", "pgvector/pgvector:pg18", "pgvector/pgvector:0.8.1-pg18-trixie",
          "timescale/timescaledb:2.22.0-pg18", "postgis/postgis:18-3.6", "registry:5000/postgres:18"}) {
        EXPECT_EQ(directory_of(image, folder), of_18) << image;
    }
    EXPECT_EQ(directory_of("postgres:18", of_18), of_18);
    EXPECT_EQ(directory_of("postgres:19.2", folder), folder + "/19/docker");
    EXPECT_EQ(directory_of("postgres:18", "/srv"), "VolumeNotFound");
}

TEST(OfficialImage, asks_where_neither_tag_nor_mount_tell_the_major_version) {
    for (const char* image : {"postgres", "postgres:latest", "postgres:alpine", "postgres@sha256:18",
                              "timescale/timescaledb:2.22.0", "registry:5000/postgres"}) {
        const auto inference = inference_of(image, "/var/lib/postgresql", only_password);
        const auto* problem = std::get_if<decide::NotInferable>(&inference);
        ASSERT_NE(problem, nullptr) << image;
        EXPECT_EQ(problem->reason, "DataDirectoryUnknown");
        EXPECT_NE(problem->message.find("`spec.postgres.dataDirectory` must be set"), std::string::npos)
            << problem->message;
    }
}

TEST(BitnamiImage, has_its_own_folder_names_and_default_database) {
    const Inferred plain = bitnami(json::array({secret("POSTGRESQL_PASSWORD", "postgres-password")}));
    EXPECT_EQ(plain.data_directory, "/bitnami/postgresql/data");
    EXPECT_EQ(plain.mount_path, "/bitnami/postgresql");
    EXPECT_EQ(plain.user.value, "postgres");
    EXPECT_EQ(plain.database.value, "postgres");
    EXPECT_EQ(plain.password.secret_key, "postgres-password");
    const Inferred set = bitnami(json::array(
        {literal("PGDATA", "/bitnami/postgresql/elsewhere"), literal("POSTGRESQL_PORT_NUMBER", "6432"),
         secret("POSTGRES_PASSWORD", "password"), literal("POSTGRES_DATABASE", "shop")}));
    EXPECT_EQ(set.data_directory, "/bitnami/postgresql/elsewhere");
    EXPECT_EQ(set.port, 6432);
    EXPECT_EQ(set.database.value, "shop");
}

TEST(BitnamiImage, is_asked_by_its_superuser_where_his_password_is_known) {
    for (const json& user :
         {literal("POSTGRESQL_USERNAME", "shopkeeper"), secret("POSTGRES_USER", "username")}) {
        const Inferred both = bitnami(json::array({user, secret("POSTGRES_PASSWORD", "password"),
                                                   secret("POSTGRES_POSTGRES_PASSWORD", "postgres-password"),
                                                   literal("POSTGRESQL_DATABASE", "shop")}));
        EXPECT_EQ(both.user, (Credential{"postgres", ""}));
        EXPECT_EQ(both.password.secret_key, "postgres-password");
        EXPECT_EQ(both.database.value, "shop");
    }
    const Inferred itself = bitnami(
        json::array({literal("POSTGRESQL_USERNAME", "postgres"), secret("POSTGRESQL_PASSWORD", "password"),
                     secret("POSTGRESQL_POSTGRES_PASSWORD", "unused")}));
    EXPECT_EQ(itself.password.secret_key, "password") << "the image does not look at the other one";
    const Inferred other = bitnami(json::array(
        {literal("POSTGRESQL_USERNAME", "shopkeeper"), secret("POSTGRESQL_PASSWORD", "password")}));
    EXPECT_EQ(other.user.value, "shopkeeper");
    EXPECT_EQ(other.password.secret_key, "password");
}

TEST(BitnamiImage, is_told_by_its_mount_or_its_variables_too) {
    const auto directory = [](const std::string& image, const std::string& mount_path, const json& env) {
        const auto inference = inference_of(image, mount_path, env);
        const auto* problem = std::get_if<decide::NotInferable>(&inference);
        return problem == nullptr ? std::get<Inferred>(inference).data_directory : problem->message;
    };
    const std::string expected = "/bitnami/postgresql/data";
    EXPECT_EQ(directory("mirror.example.com/postgresql:17", "/bitnami/postgresql", only_password), expected);
    EXPECT_EQ(directory("mirror.example.com/db:17", "/bitnami",
                        json::array({secret("POSTGRESQL_PASSWORD", "password")})),
              expected);
}

TEST(BitnamiImage, reads_passwords_from_files_of_a_secret) {
    resources::Workload workload = the_workload();
    auto& container = workload.pod_spec["containers"][0];
    container["image"] = "bitnami/postgresql:17";
    container["env"] = json::array(
        {literal("POSTGRES_USER", "shopkeeper"), literal("POSTGRES_DATABASE", "shop"),
         literal("POSTGRES_PASSWORD_FILE", "/opt/bitnami/postgresql/secrets/password"),
         literal("POSTGRES_POSTGRES_PASSWORD_FILE", "/opt/bitnami/postgresql/secrets/postgres-password")});
    container["volumeMounts"] = json::parse(R"([{"name": "data", "mountPath": "/bitnami/postgresql"},
        {"name": "passwords", "mountPath": "/opt/bitnami/postgresql/secrets/"}])");
    workload.pod_spec["volumes"] =
        json::parse(R"([{"name": "passwords", "secret": {"secretName": "shop-postgresql"}}])");
    const auto inference = decide::infer(the_server(), workload);
    ASSERT_TRUE(std::holds_alternative<Inferred>(inference));
    const auto& inferred = std::get<Inferred>(inference);
    EXPECT_EQ(inferred.secret_name, "shop-postgresql");
    EXPECT_EQ(inferred.user.value, "postgres");
    EXPECT_EQ(inferred.password.secret_key, "postgres-password");
}

TEST(BitnamiImage, gives_the_private_server_what_its_entrypoint_would_write) {
    json container = json::parse(R"({"image": "bitnami/postgresql:17", "env": [
        {"name": "POSTGRESQL_SHARED_PRELOAD_LIBRARIES", "value": "pgaudit"},
        {"name": "POSTGRES_TIMEZONE", "value": "Europe/Berlin"}]})");
    const std::vector<std::string> expected{"-c", "shared_preload_libraries=pgaudit", "-c",
                                            "timezone=Europe/Berlin"};
    EXPECT_EQ(decide::server_arguments(container), expected);
    container["env"].erase(0);
    container["image"] = "postgres:17";
    EXPECT_TRUE(decide::server_arguments(container).empty()) << "the official image does not look at it";
}

}  // namespace
}  // namespace dbrestore::testing
