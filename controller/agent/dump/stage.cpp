#include "agent/dump/stage.h"

#include <fcntl.h>

#include <algorithm>
#include <filesystem>

#include "agent/space.h"
#include "agent/text.h"
#include "base/files.h"

namespace dbrestore::agent {

namespace {

namespace fs = std::filesystem;

std::string staged_path(const WorkFolder& folder) {
    return folder.path() + "/dump";
}

class Stage {
public:
    Stage(const Context& context, const RestorePrograms& programs, std::string path)
        : context_(context), programs_(programs), path_(std::move(path)) {}

    std::optional<backups::Failure> take_file(DumpFormat format, const std::string& name,
                                              backups::ByteSource& content) {
        if (auto refused = refuse_format(context_, format, programs_)) return refused;
        format_ = format;
        const base::UniqueFd file{
            ::open((path_ + "/" + name).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
        if (!file) return backups::to_failure(base::io_error("cannot write the dump into " + path_));
        const auto copied = backups::pump(content, [&](std::string_view bytes) {
            size_bytes_ += static_cast<int64_t>(bytes.size());
            return base::write_all(file.get(), bytes);
        });
        if (copied) return std::nullopt;
        return backups::to_failure(copied.error());
    }

    DumpFile opened() const {
        const std::string path =
            format_ == DumpFormat::directory ? path_ : path_ + "/" + backups::single_name;
        return {base::UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)}, format_, size_bytes_};
    }

private:
    const Context& context_;
    const RestorePrograms& programs_;
    std::string path_;
    DumpFormat format_ = DumpFormat::custom;
    int64_t size_bytes_ = 0;
};

}  // namespace

std::optional<backups::Failure> stage_dump(const Context& context, const WorkFolder& folder,
                                           const RestorePrograms& programs, backups::OpenBackup& backup,
                                           DumpFile& dump) {
    remove_staged(folder);
    std::error_code code;
    if (!fs::create_directory(staged_path(folder), code))
        return backups::Failure{"BackupUnreadable",
                                "cannot make " + staged_path(folder) + ": " + code.message(), true};
    const auto space = disk_space(folder.path());
    if (!space) return backups::to_failure(space.error());
    Stage stage(context, programs, staged_path(folder));
    const auto take = [&stage](DumpFormat format, const std::string& name, backups::ByteSource& content) {
        return stage.take_file(format, name, content);
    };
    const int64_t max_bytes = std::max<int64_t>(space->free_bytes - space->reserve_bytes(), 0);
    if (auto failure = unpack_backup(context, backup, {"fetching the backup", 30}, max_bytes, take))
        return failure;
    dump = stage.opened();
    return std::nullopt;
}

void remove_staged(const WorkFolder& folder) {
    std::error_code ignored;
    fs::remove_all(staged_path(folder), ignored);
}

}  // namespace dbrestore::agent
