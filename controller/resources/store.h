#pragma once
// Where backups lie (PostgresServer.spec.stores), what lies there, and which of it a restore means. The
// fields are described in crds/postgresservers.yaml.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace dbrestore::resources {

struct S3Location {
    std::string endpoint, bucket, prefix, region, credentials_secret, ca_secret;

    bool operator==(const S3Location&) const = default;
};

struct HttpLocation {
    std::string url, headers_secret, ca_secret;

    bool operator==(const HttpLocation&) const = default;
};

// Exactly one of claim_name, s3 and http is set.
struct Store {
    std::string name, kind;        // kind: Scheduled, Manual or Dump
    std::string claim_name, path;  // a directory of a PersistentVolumeClaim
    std::optional<S3Location> s3;
    std::optional<HttpLocation> http;

    bool operator==(const Store&) const = default;
};

// A backup in a store. Its name is its path there, without the store's own.
struct Backup {
    std::string name;
    std::optional<base::Time> completion_time;  // when it was written there
    int64_t size_bytes = 0;
    std::string identity;  // another one means another content: an ETag, or size and time
    // What its first bytes tell, where they were looked at: custom, tar, directory or plain; "15.18".
    std::string format{}, server_version{};

    bool operator==(const Backup&) const = default;
};

// Exactly one of the three.
struct BackupChoice {
    std::string name;
    bool latest = false;
    std::optional<base::Time> before;

    bool operator==(const BackupChoice&) const = default;
};

Store store_from_json(const nlohmann::json& document);
nlohmann::json to_json(const Store& store);
Backup backup_from_json(const nlohmann::json& document);
nlohmann::json to_json(const Backup& backup);
BackupChoice choice_from_json(const nlohmann::json& document);
nlohmann::json to_json(const BackupChoice& choice);

// Newest first; of those of one second the last by name, which holds the date more often than not.
void sort_newest_first(std::vector<Backup>& backups);

// Nothing where none fits. `backups` is sorted newest first.
const Backup* chosen(const std::vector<Backup>& backups, const BackupChoice& choice);

// "the newest backup before 2026-11-22T10:00:00Z".
std::string to_text(const BackupChoice& choice);

}  // namespace dbrestore::resources
