#include "agent/dump/backup_source.h"

#include <unistd.h>

#include <array>

#include "agent/text.h"
#include "backups/ahead.h"

namespace dbrestore::agent {

namespace {

class Metered final : public backups::ByteSource {
public:
    Metered(backups::ByteSource& inner, std::function<void(int64_t)> on_bytes)
        : inner_(inner), on_bytes_(std::move(on_bytes)) {}
    base::Result<size_t> read(char* buffer, size_t size) override {
        auto count = inner_.read(buffer, size);
        if (count) on_bytes_(bytes_ += static_cast<int64_t>(*count));
        return count;
    }

private:
    backups::ByteSource& inner_;
    std::function<void(int64_t)> on_bytes_;
    int64_t bytes_ = 0;
};

}  // namespace

backups::StoreAccess store_access(const Context& context) {
    const auto& surroundings = context.surroundings;
    backups::StoreAccess access;
    access.source_directory = surroundings.source_directory;
    access.credentials_directory = surroundings.store_directory + "/credentials";
    access.headers_directory = surroundings.store_directory + "/headers";
    access.ca_directory = surroundings.store_directory + "/ca";
    access.default_ca_file = std::string(resources::bundle_directory) + "/ca-certificates.crt";
    return access;
}

std::optional<backups::Failure> open_backup(const Context& context, backups::OpenBackup& backup) {
    const auto& request = context.request;
    const auto access = store_access(context);
    if (!request.backup_name.empty())
        return backups::open_backup(request.store, access, request.backup_name, request.backup_identity,
                                    backup);
    std::vector<resources::Backup> all;
    if (auto failure = backups::list_backups(request.store, access, all)) return failure;
    const auto* chosen = resources::chosen(all, request.choice);
    if (chosen == nullptr) {
        const std::string oldest =
            all.empty() ? "" : ", the oldest \"" + one_line(all.back().name, 200) + "\"";
        return backups::Failure{"BackupNotFound", "store \"" + request.store.name + "\" must hold " +
                                                      to_text(request.choice) + "; it has " +
                                                      std::to_string(all.size()) + " backups" + oldest};
    }
    return backups::open_backup(request.store, access, chosen->name, "", backup);
}

std::optional<backups::Failure> unpack_backup(const Context& context, backups::OpenBackup& backup,
                                              const Telling& telling, int64_t max_bytes,
                                              const backups::TakeFile& take_file) {
    const backups::UnpackLimits limits{max_bytes};
    if (backup.local && backup.local->is_folder)
        return backups::unpack_folder(backup.local->fd.get(), limits, take_file);
    if (backup.local) backup.stream = std::make_unique<backups::FileSource>(std::move(backup.local->fd));
    backups::AheadSource ahead(*backup.stream);
    Metered metered(ahead,
                    [&](int64_t bytes) { tell_bytes(context, telling, bytes, backup.facts.size_bytes); });
    return backups::unpack(metered, limits, take_file);
}

std::optional<backups::Failure> refuse_format(const Context& context, DumpFormat format,
                                              const RestorePrograms& programs) {
    if (format != DumpFormat::sql) return std::nullopt;
    const std::string otherwise = "; it must be a dump made by pg_dump -Fc, -Ft or -Fd";
    if (context.request.clean)
        return backups::Failure{"UnsupportedFormat",
                                "the backup is plain SQL, which mode Clean cannot restore" + otherwise};
    const std::string version = version_of(programs.psql);
    if (is_safe_psql(version)) return std::nullopt;
    return backups::Failure{"UnsupportedFormat",
                            "the backup is plain text, such as SQL, and psql " + one_line(version, 20) +
                                " of the database's image does not keep what it holds from becoming commands "
                                "(CVE-2026-18408)" +
                                otherwise +
                                ", or the image must have psql 14.24, 15.19, 16.15, 17.11, 18.6 or newer"};
}

void tell_bytes(const Context& context, const Telling& telling, int64_t bytes, int64_t total_bytes) {
    resources::Progress progress;
    progress.bytes_done = bytes;
    progress.bytes_total = std::max(total_bytes, bytes);
    progress.percent = progress.bytes_total == 0 ? 0 : bytes * telling.percent_of_step / progress.bytes_total;
    progress.summary = std::string(telling.words) + ": " + human_size(bytes) +
                       (total_bytes > 0 ? " of " + human_size(total_bytes) : "");
    context.report.progress(progress);
}

std::optional<DumpFile> usable_in_place(backups::OpenBackup& backup) {
    if (!backup.local || backup.local->is_folder) return std::nullopt;
    std::array<char, backups::head_bytes> head{};
    const ssize_t count = ::pread(backup.local->fd.get(), head.data(), head.size(), 0);
    const auto content = backups::content_of({head.data(), count > 0 ? static_cast<size_t>(count) : 0});
    const auto format = content == backups::Content::custom_dump ? std::optional(DumpFormat::custom)
                        : content == backups::Content::tar_dump  ? std::optional(DumpFormat::tar)
                        : content == backups::Content::sql       ? std::optional(DumpFormat::sql)
                                                                 : std::nullopt;
    if (!format) return std::nullopt;
    return DumpFile(std::move(backup.local->fd), *format, backup.local->size_bytes);
}

}  // namespace dbrestore::agent
