#include "backups/store_reader.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "backups/describe.h"
#include "backups/http.h"
#include "backups/s3.h"
#include "backups/unpack.h"
#include "base/files.h"
#include "base/text.h"

namespace dbrestore::backups {

namespace {

constexpr size_t max_secret_bytes = 64 << 10;
constexpr size_t max_page_bytes = 16 << 20;
constexpr int max_pages = 100;  // of a thousand objects
constexpr size_t max_name_bytes = 1024;
// Of backups in a bucket: each costs a request at every listing (decision 0018).
constexpr size_t max_described_objects = 10;
constexpr std::chrono::seconds describing_patience{10};
constexpr const char* default_region = "us-east-1";
constexpr std::array sidecars{".md5",  ".sha1", ".sha256", ".sha512", ".asc", ".sig",
                              ".json", ".log",  ".txt",    ".tmp",    ".part"};

using MaybeFailure = std::optional<Failure>;

std::string secret_at(const std::string& directory, const std::string& key) {
    const auto text = base::read_file(directory + "/" + key, max_secret_bytes);
    return text ? base::trimmed(*text) : "";
}

bool is_one_header_line(const std::string& text) {
    return std::ranges::none_of(text,
                                [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::string ca_file(const std::string& secret, const StoreAccess& access) {
    if (!secret.empty()) return access.ca_directory + "/ca.crt";
    return ::access(access.default_ca_file.c_str(), R_OK) == 0 ? access.default_ca_file : "";
}

MaybeFailure check_ca(const std::string& secret, const StoreAccess& access) {
    if (secret.empty() || !secret_at(access.ca_directory, "ca.crt").empty()) return std::nullopt;
    return Failure{"StoreSecretMissing", "Secret \"" + secret + "\" must exist and have the key ca.crt"};
}

MaybeFailure s3_request(const resources::S3Location& location, const StoreAccess& access,
                        HttpRequest& request) {
    if (auto failure = check_ca(location.ca_secret, access)) return failure;
    request.ca_file = ca_file(location.ca_secret, access);
    request.limits = access.limits;
    if (location.credentials_secret.empty()) return std::nullopt;  // a public bucket
    const std::string& directory = access.credentials_directory;
    Signature signature{secret_at(directory, "AWS_ACCESS_KEY_ID"),
                        secret_at(directory, "AWS_SECRET_ACCESS_KEY"),
                        secret_at(directory, "AWS_SESSION_TOKEN"),
                        location.region.empty() ? default_region : location.region};
    if (signature.access_key.empty() || signature.secret_key.empty())
        return Failure{"StoreSecretMissing", "Secret \"" + location.credentials_secret +
                                                 "\" must exist and have the keys AWS_ACCESS_KEY_ID and "
                                                 "AWS_SECRET_ACCESS_KEY"};
    request.signature = std::move(signature);
    // Of the empty body. Services ask for it, and libcurl signs it but does not send it by itself.
    request.headers.push_back(
        "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    return std::nullopt;
}

MaybeFailure http_request(const resources::HttpLocation& location, const StoreAccess& access,
                          HttpRequest& request) {
    if (auto failure = check_ca(location.ca_secret, access)) return failure;
    request.ca_file = ca_file(location.ca_secret, access);
    request.limits = access.limits;
    if (location.headers_secret.empty()) return std::nullopt;
    std::error_code code;
    for (const auto& entry : std::filesystem::directory_iterator(access.headers_directory, code)) {
        const std::string name = entry.path().filename();
        if (name.starts_with("..")) continue;  // the kubelet's own
        const std::string value = secret_at(access.headers_directory, name);
        if (!is_one_header_line(value))
            return Failure{"StoreSecretMissing", "key \"" + name + "\" of Secret \"" +
                                                     location.headers_secret +
                                                     "\" must be one line: a request header"};
        request.headers.push_back(std::string(name).append(": ").append(value));
    }
    if (request.headers.empty())
        return Failure{"StoreSecretMissing",
                       "Secret \"" + location.headers_secret + "\" must exist and have a key"};
    return std::nullopt;
}

// What is wrong with a listing is no damage of a backup.
Failure listing_failure(const base::Error& error) {
    Failure failure = to_failure(error);
    if (error.kind == base::ErrorKind::invalid) failure.reason = "StoreUnreadable";
    return failure;
}

MaybeFailure list_s3(const resources::S3Location& location, const StoreAccess& access,
                     std::vector<resources::Backup>& backups) {
    HttpRequest request;
    if (auto failure = s3_request(location, access, request)) return failure;
    std::string continuation;
    for (int pages = 0; pages < max_pages; ++pages) {
        request.url = s3_list_url(location, continuation);
        const auto text = fetch_text(request, max_page_bytes);
        if (!text) return listing_failure(text.error());
        auto page = s3_page(location, *text);
        if (!page) return listing_failure(page.error());
        backups.insert(backups.end(), page->backups.begin(), page->backups.end());
        if (page->continuation.empty()) return std::nullopt;
        continuation = page->continuation;
    }
    return Failure{"StoreTooLarge", "the store must hold at most " + std::to_string(max_pages * 1000) +
                                        " objects: set `prefix`"};
}

MaybeFailure open_stream(HttpRequest request, const std::string& identity, OpenBackup& backup) {
    auto source = HttpSource::open(std::move(request), identity);
    if (!source) return to_failure(source.error());
    const std::string name = std::move(backup.facts.name);
    backup.facts = (*source)->facts();
    backup.facts.name = name;
    backup.stream = std::move(*source);
    return std::nullopt;
}

std::string local_path(const resources::Store& store, const std::string& name) {
    return store.path.empty() ? name : store.path + "/" + name;
}

MaybeFailure open_local(const resources::Store& store, const StoreAccess& access, const std::string& identity,
                        OpenBackup& backup) {
    auto file = open_beneath(access.source_directory, local_path(store, backup.facts.name));
    if (!file) {
        Failure failure = to_failure(file.error());
        if (file.error().kind == base::ErrorKind::invalid) failure.reason = "UnsupportedFormat";
        return failure;
    }
    if (file->is_folder) {
        auto contents = identity_of_folder(file->fd.get());
        if (!contents) return to_failure(contents.error());
        file->identity = *contents;
    }
    if (!identity.empty() && file->identity != identity)
        return Failure{"BackupChanged", "\"" + base::one_line(backup.facts.name, 300) +
                                            "\" is not the backup any more that was checked before"};
    backup.facts.size_bytes = file->size_bytes;
    backup.facts.identity = file->identity;
    backup.local = std::move(*file);
    return std::nullopt;
}

// The first bytes of a source, as if it ended there.
class FirstBytes final : public ByteSource {
public:
    explicit FirstBytes(ByteSource& inner) : inner_(inner) {}
    base::Result<size_t> read(char* buffer, size_t size) override {
        if (left_ == 0) return size_t{0};
        auto count = inner_.read(buffer, std::min(size, left_));
        failed_ = !count;
        if (count) left_ -= *count;
        return count;
    }
    bool failed() const { return failed_; }

private:
    ByteSource& inner_;
    size_t left_ = describing_bytes;
    bool failed_ = false;
};

// False where the store itself fails.
bool describe_object(HttpRequest request, const resources::S3Location& location, resources::Backup& backup) {
    request.url = s3_object_url(location, backup.name);
    request.headers.push_back("Range: bytes=0-" + std::to_string(describing_bytes - 1));
    auto source = HttpSource::open(std::move(request), backup.identity);
    if (!source) return source.error().kind != base::ErrorKind::unavailable;
    FirstBytes head(**source);
    describe(head, backup);
    return !head.failed();
}

void describe_objects(const resources::S3Location& location, const StoreAccess& access,
                      std::vector<resources::Backup>& newest_first) {
    HttpRequest request;
    if (s3_request(location, access, request)) return;
    request.limits.attempts = 1;
    request.limits.connect = request.limits.stall = describing_patience;
    request.limits.min_bytes = describing_bytes;
    for (size_t i = 0; i < std::min(newest_first.size(), max_described_objects); ++i) {
        if (!describe_object(request, location, newest_first[i])) return;
    }
}

void describe_file(const resources::Store& store, const StoreAccess& access, resources::Backup& backup) {
    auto file = open_beneath(access.source_directory, local_path(store, backup.name));
    if (!file) return;
    const bool is_folder = file->is_folder;
    if (is_folder) file = open_beneath(file->fd.get(), "toc.dat");
    if (!file || file->is_folder) return;
    FileSource source(std::move(file->fd));
    FirstBytes head(source);
    if (is_folder) return describe_directory(head, backup);
    describe(head, backup);
}

bool is_sidecar(const resources::Backup& backup) {
    return std::ranges::any_of(sidecars, [&](const char* suffix) { return backup.name.ends_with(suffix); });
}

}  // namespace

MaybeFailure list_backups(const resources::Store& store, const StoreAccess& access,
                          std::vector<resources::Backup>& backups) {
    backups.clear();
    if (store.http)
        return Failure{"StoreNotListable",
                       "store \"" + store.name +
                           "\" is an HTTP server, which cannot be listed: a restore from it must name "
                           "the backup"};
    if (store.s3) {
        if (auto failure = list_s3(*store.s3, access, backups)) return failure;
    } else {
        auto found = backups_beneath(access.source_directory, store.path);
        if (!found) return listing_failure(found.error());
        backups = std::move(*found);
    }
    std::erase_if(backups, is_sidecar);
    // Nobody could name them: DatabaseRestore has the same bound.
    std::erase_if(backups, [](const auto& backup) { return backup.name.size() > max_name_bytes; });
    resources::sort_newest_first(backups);
    return std::nullopt;
}

void describe_backups(const resources::Store& store, const StoreAccess& access,
                      std::vector<resources::Backup>& newest_first) {
    if (store.s3) return describe_objects(*store.s3, access, newest_first);
    for (auto& backup : newest_first) describe_file(store, access, backup);
}

MaybeFailure open_backup(const resources::Store& store, const StoreAccess& access, const std::string& name,
                         const std::string& identity, OpenBackup& backup) {
    backup = {};
    backup.facts.name = name;
    HttpRequest request;
    if (!store.name.empty() && leaves_folder(name))
        return Failure{"BackupNotFound",
                       "the backup\'s name \"" + base::one_line(name, 300) + "\" must not leave the store"};
    if (store.s3) {
        if (auto failure = s3_request(*store.s3, access, request)) return failure;
        request.url = s3_object_url(*store.s3, name);
        return open_stream(std::move(request), identity, backup);
    }
    if (store.http) {
        if (auto failure = http_request(*store.http, access, request)) return failure;
        request.url = http_object_url(*store.http, name);
        return open_stream(std::move(request), identity, backup);
    }
    return open_local(store, access, identity, backup);
}

}  // namespace dbrestore::backups
