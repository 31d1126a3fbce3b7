#include "resources/store.h"

#include <algorithm>

#include "resources/json_fields.h"

namespace dbrestore::resources {

Store store_from_json(const nlohmann::json& document) {
    Store s;
    s.name = text_at(document, "name");
    s.kind = text_at(document, "kind");
    s.claim_name = text_at(document, "persistentVolumeClaim.claimName");
    s.path = text_at(document, "persistentVolumeClaim.path");
    if (const auto& s3 = field(document, "s3"); s3.is_object()) {
        s.s3 = S3Location{text_at(s3, "endpoint"),
                          text_at(s3, "bucket"),
                          text_at(s3, "prefix"),
                          text_at(s3, "region"),
                          text_at(s3, "credentialsSecretRef.name"),
                          text_at(s3, "caSecretRef.name")};
    }
    if (const auto& http = field(document, "http"); http.is_object())
        s.http = HttpLocation{text_at(http, "url"), text_at(http, "headersSecretRef.name"),
                              text_at(http, "caSecretRef.name")};
    return s;
}

nlohmann::json to_json(const Store& s) {
    nlohmann::json document = nlohmann::json::object();
    put(document, "name", s.name);
    put(document, "kind", s.kind);
    if (!s.claim_name.empty()) {
        document["persistentVolumeClaim"]["claimName"] = s.claim_name;
        put(document["persistentVolumeClaim"], "path", s.path);
    }
    if (s.s3) {
        auto& s3 = document["s3"];
        s3 = {{"endpoint", s.s3->endpoint}, {"bucket", s.s3->bucket}};
        put(s3, "prefix", s.s3->prefix);
        put(s3, "region", s.s3->region);
        if (!s.s3->credentials_secret.empty()) s3["credentialsSecretRef"]["name"] = s.s3->credentials_secret;
        if (!s.s3->ca_secret.empty()) s3["caSecretRef"]["name"] = s.s3->ca_secret;
    }
    if (s.http) {
        auto& http = document["http"];
        http = {{"url", s.http->url}};
        if (!s.http->headers_secret.empty()) http["headersSecretRef"]["name"] = s.http->headers_secret;
        if (!s.http->ca_secret.empty()) http["caSecretRef"]["name"] = s.http->ca_secret;
    }
    return document;
}

Backup backup_from_json(const nlohmann::json& document) {
    return {text_at(document, "name"),         time_at(document, "completionTime"),
            integer_at(document, "sizeBytes"), text_at(document, "identity"),
            text_at(document, "format"),       text_at(document, "serverVersion")};
}

nlohmann::json to_json(const Backup& b) {
    nlohmann::json document{{"name", b.name}, {"sizeBytes", b.size_bytes}};
    put(document, "completionTime", b.completion_time);
    put(document, "identity", b.identity);
    put(document, "format", b.format);
    put(document, "serverVersion", b.server_version);
    return document;
}

BackupChoice choice_from_json(const nlohmann::json& document) {
    return {text_at(document, "name"), flag_at(document, "latest"), time_at(document, "before")};
}

nlohmann::json to_json(const BackupChoice& c) {
    nlohmann::json document = nlohmann::json::object();
    put(document, "name", c.name);
    if (c.latest) document["latest"] = true;
    if (c.before) document["before"] = base::format_time_micro(*c.before);
    return document;
}

void sort_newest_first(std::vector<Backup>& backups) {
    std::ranges::sort(backups, [](const Backup& a, const Backup& b) {
        return std::pair(a.completion_time, a.name) > std::pair(b.completion_time, b.name);
    });
}

const Backup* chosen(const std::vector<Backup>& backups, const BackupChoice& choice) {
    const auto at = std::ranges::find_if(backups, [&](const Backup& backup) {
        if (!choice.name.empty()) return backup.name == choice.name;
        if (choice.before) return backup.completion_time && *backup.completion_time < *choice.before;
        return choice.latest;
    });
    return at == backups.end() ? nullptr : &*at;
}

std::string to_text(const BackupChoice& choice) {
    if (!choice.name.empty()) return "backup \"" + choice.name + "\"";
    return choice.before ? "the newest backup before " + base::format_time(*choice.before)
                         : "the newest backup";
}

}  // namespace dbrestore::resources
