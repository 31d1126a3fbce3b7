#include "resources/postgres_server.h"

#include "resources/json_fields.h"

namespace dbrestore::resources {

namespace {

std::optional<int64_t> optional_integer(const nlohmann::json& document, std::string_view path) {
    if (!present_at(document, path)) return std::nullopt;
    return integer_at(document, path);
}

Credential credential_from_json(const nlohmann::json& document) {
    return {text_at(document, "value"), text_at(document, "secretKey")};
}

nlohmann::json to_json(const Credential& credential) {
    nlohmann::json document = nlohmann::json::object();
    put(document, "value", credential.value);
    put(document, "secretKey", credential.secret_key);
    return document;
}

Inferred inferred_from_json(const nlohmann::json& document) {
    Inferred i;
    i.container = text_at(document, "container");
    i.image = text_at(document, "image");
    i.data_directory = text_at(document, "dataDirectory");
    i.volume = text_at(document, "volume");
    i.claim_name = text_at(document, "claimName");
    i.mount_path = text_at(document, "mountPath");
    i.sub_path = text_at(document, "subPath");
    i.secret_name = text_at(document, "secretName");
    i.user = credential_from_json(field(document, "user"));
    i.password = credential_from_json(field(document, "password"));
    i.database = credential_from_json(field(document, "database"));
    i.uid = optional_integer(document, "uid");
    i.gid = optional_integer(document, "gid");
    i.port = integer_at(document, "port", 5432);
    return i;
}

nlohmann::json to_json(const Inferred& i) {
    nlohmann::json document{{"container", i.container},
                            {"image", i.image},
                            {"dataDirectory", i.data_directory},
                            {"volume", i.volume},
                            {"claimName", i.claim_name},
                            {"mountPath", i.mount_path},
                            {"port", i.port}};
    put(document, "subPath", i.sub_path);
    put(document, "secretName", i.secret_name);
    put(document, "user", to_json(i.user));
    put(document, "password", to_json(i.password));
    put(document, "database", to_json(i.database));
    put(document, "uid", i.uid);
    put(document, "gid", i.gid);
    return document;
}

HistoryEntry history_from_json(const nlohmann::json& item) {
    HistoryEntry e;
    e.restore = text_at(item, "restore");
    e.uid = text_at(item, "uid");
    e.result = text_at(item, "result");
    e.database = text_at(item, "database");
    e.completion_time = time_at(item, "completionTime").value_or(base::Time{});
    e.previous_database = text_at(item, "previousData.database");
    e.previous_directory = text_at(item, "previousData.directory");
    if (present_at(item, "previousData.dataOwner"))
        e.data_owner = owner_from_json(field(item, "previousData.dataOwner"));
    e.previous_size_bytes = integer_at(item, "previousData.sizeBytes");
    e.expiration_time = time_at(item, "previousData.expirationTime");
    e.cleanup_attempt = integer_at(item, "previousData.cleanupAttempt");
    return e;
}

nlohmann::json to_json(const HistoryEntry& e) {
    nlohmann::json item{{"restore", e.restore},
                        {"uid", e.uid},
                        {"result", e.result},
                        {"completionTime", base::format_time(e.completion_time)}};
    put(item, "database", e.database);
    if (e.keeps_data()) {
        auto& previous = item["previousData"];
        previous = {{"sizeBytes", e.previous_size_bytes}};
        put(previous, "database", e.previous_database);
        put(previous, "directory", e.previous_directory);
        if (e.data_owner) previous["dataOwner"] = to_json(*e.data_owner);
        put(previous, "expirationTime", e.expiration_time);
        if (e.cleanup_attempt != 0) previous["cleanupAttempt"] = e.cleanup_attempt;
    }
    return item;
}

StoreStatus store_status_from_json(const nlohmann::json& item) {
    StoreStatus s;
    s.name = text_at(item, "name");
    s.attempt = integer_at(item, "attempt");
    s.start_time = time_at(item, "startTime");
    s.list_time = time_at(item, "listTime");
    s.restore_uid = text_at(item, "restoreUID");
    s.backup_count = integer_at(item, "backupCount");
    s.reason = text_at(item, "reason");
    s.message = text_at(item, "message");
    return s;
}

nlohmann::json to_json(const StoreStatus& s) {
    nlohmann::json item{{"name", s.name}, {"attempt", s.attempt}, {"backupCount", s.backup_count}};
    put(item, "startTime", s.start_time);
    put(item, "listTime", s.list_time);
    put(item, "restoreUID", s.restore_uid);
    put(item, "reason", s.reason);
    put(item, "message", s.message);
    return item;
}

ListedBackup listed_from_json(const nlohmann::json& item) {
    return {text_at(item, "store"), text_at(item, "kind"), backup_from_json(item)};
}

nlohmann::json to_json(const ListedBackup& listed) {
    nlohmann::json item = to_json(listed.backup);
    item.erase("identity");  // of no use to people
    item["store"] = listed.store;
    put(item, "kind", listed.kind);
    return item;
}

template <typename Item>
nlohmann::json list_to_json(const std::vector<Item>& items) {
    nlohmann::json list = nlohmann::json::array();
    for (const auto& item : items) list.push_back(to_json(item));
    return list;
}

LockState lock_from_json(const nlohmann::json& status) {
    LockState lock;
    if (present_at(status, "activeRestore")) {
        lock.active_restore =
            ActiveRestore{text_at(status, "activeRestore.name"), text_at(status, "activeRestore.uid")};
    }
    lock.original_replicas = optional_integer(status, "originalReplicas");
    if (present_at(status, "fence")) {
        lock.fence = Fence{text_at(status, "fence.restoreUID"), text_at(status, "fence.restoreName"),
                           texts_at(status, "fence.claimNames")};
    }
    lock.database = text_at(status, "activeRestore.database");
    lock.point_in_time = flag_at(status, "activeRestore.pointInTime");
    lock.may_be_served = flag_at(status, "activeRestore.mayBeServed");
    for (const auto& item : list_at(status, "pausedCronJobs"))
        lock.paused.push_back({text_at(item, "name"), flag_at(item, "wasSuspended")});
    if (present_at(status, "dataOwner")) lock.data_owner = owner_from_json(field(status, "dataOwner"));
    return lock;
}

PostgresOverrides overrides_from_json(const nlohmann::json& postgres) {
    PostgresOverrides o;
    o.container = text_at(postgres, "container");
    o.data_directory = text_at(postgres, "dataDirectory");
    o.volume = text_at(postgres, "volume");
    o.database = text_at(postgres, "database");
    o.uid = optional_integer(postgres, "uid");
    o.port = optional_integer(postgres, "port");
    o.secret_name = text_at(postgres, "connectionSecret.name");
    o.username_key = text_at(postgres, "connectionSecret.usernameKey");
    o.password_key = text_at(postgres, "connectionSecret.passwordKey");
    o.database_key = text_at(postgres, "connectionSecret.databaseKey");
    return o;
}

}  // namespace

PostgresServer server_from_json(const nlohmann::json& object) {
    PostgresServer server;
    server.meta = meta_from_json(object);
    const auto& spec = field(object, "spec");
    server.workload_kind = text_at(spec, "workloadRef.kind");
    server.workload_name = text_at(spec, "workloadRef.name");
    server.overrides = overrides_from_json(field(spec, "postgres"));
    for (const auto& store : list_at(spec, "stores")) server.stores.push_back(store_from_json(store));
    server.catalog_interval_seconds =
        integer_at(spec, "catalogIntervalSeconds", server.catalog_interval_seconds);
    if (const auto& repository = field(spec, "pointInTimeRecovery.pgBackRest"); repository.is_object())
        server.repository =
            PgBackRestRepository{text_at(repository, "stanza"), text_at(repository, "configSecretRef.name")};
    for (const auto& item : list_at(spec, "suspend")) server.suspend.push_back(text_at(item, "name"));
    const auto& status = field(object, "status");
    server.status.observed_generation = integer_at(status, "observedGeneration", -1);
    if (present_at(status, "inferred"))
        server.status.inferred = inferred_from_json(field(status, "inferred"));
    for (const auto& item : list_at(status, "history"))
        server.status.history.push_back(history_from_json(item));
    server.status.listings = integer_at(status, "listings");
    for (const auto& item : list_at(status, "stores"))
        server.status.stores.push_back(store_status_from_json(item));
    for (const auto& item : list_at(status, "backups"))
        server.status.backups.push_back(listed_from_json(item));
    if (present_at(status, "pointInTimeRecovery"))
        server.status.reachable = reachable_points_from_json(field(status, "pointInTimeRecovery"));
    if (present_at(status, "takeOver")) server.status.take_over = step_from_json(field(status, "takeOver"));
    server.status.conditions = conditions_from_json(field(status, "conditions"));
    server.lock = lock_from_json(status);
    return server;
}

nlohmann::json to_json(const ServerStatus& s) {
    nlohmann::json status{{"observedGeneration", s.observed_generation}};
    if (s.inferred) status["inferred"] = to_json(*s.inferred);
    put(status, "history", list_to_json(s.history));
    if (s.listings > 0) status["listings"] = s.listings;
    put(status, "stores", list_to_json(s.stores));
    put(status, "backups", list_to_json(s.backups));
    if (s.reachable) status["pointInTimeRecovery"] = to_json(*s.reachable);
    if (s.take_over) status["takeOver"] = to_json(*s.take_over);
    put(status, "conditions", to_json(s.conditions));
    return status;
}

nlohmann::json to_json(const LockState& lock) {
    nlohmann::json status = nlohmann::json::object();
    if (lock.active_restore)
        status["activeRestore"] = {{"name", lock.active_restore->name}, {"uid", lock.active_restore->uid}};
    if (lock.active_restore) put(status["activeRestore"], "database", lock.database);
    if (lock.active_restore && lock.point_in_time) status["activeRestore"]["pointInTime"] = true;
    if (lock.active_restore && lock.may_be_served) status["activeRestore"]["mayBeServed"] = true;
    put(status, "originalReplicas", lock.original_replicas);
    if (lock.fence) {
        status["fence"] = {{"restoreUID", lock.fence->restore_uid},
                           {"restoreName", lock.fence->restore_name},
                           {"claimNames", lock.fence->claim_names}};
    }
    if (lock.data_owner) status["dataOwner"] = to_json(*lock.data_owner);
    for (const auto& paused : lock.paused)
        status["pausedCronJobs"].push_back({{"name", paused.name}, {"wasSuspended", paused.was_suspended}});
    return status;
}

}  // namespace dbrestore::resources
