#include "backups/unpack.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <set>

#include "backups/archive_input.h"
#include "backups/decompress.h"
#include "backups/folder.h"
#include "base/text.h"

namespace dbrestore::backups {

namespace {

using MaybeFailure = std::optional<Failure>;

// Folders, links and all: more has no dump.
constexpr int64_t max_members = 1'000'000;

// What is let through in all, whatever it is packed in.
class Budget {
public:
    explicit Budget(const UnpackLimits& limits) : max_bytes_(limits.max_bytes) {}

    base::Status spend(size_t bytes) {
        spent_ += static_cast<int64_t>(bytes);
        if (spent_ <= max_bytes_) return base::success();
        exceeded_ = true;
        return base::error(base::ErrorKind::invalid, message());
    }
    // Whoever read through a Counted knows of it only that reading failed.
    MaybeFailure failure() const {
        if (!exceeded_) return std::nullopt;
        return Failure{"BackupTooLarge", message()};
    }

private:
    std::string message() const {
        return "the backup unpacks to more than the " + base::human_size(max_bytes_) +
               " that the data volume has to spare";
    }

    int64_t max_bytes_, spent_ = 0;
    bool exceeded_ = false;
};

class Counted final : public ByteSource {
public:
    Counted(ByteSource& inner, Budget& budget) : inner_(inner), budget_(budget) {}
    base::Result<size_t> read(char* buffer, size_t size) override {
        auto count = inner_.read(buffer, size);
        if (!count) return count;
        if (auto spent = budget_.spend(*count); !spent) return spent.error();
        return count;
    }

private:
    ByteSource& inner_;
    Budget& budget_;
};

Failure unsupported(std::string_view head, const std::string& where) {
    return {"UnsupportedFormat",
            where + " is " + foreign_format_of(head) +
                "; it must be a dump made by pg_dump (-Fc, -Ft or -Fd), bare, compressed with gzip, xz, "
                "zstd or lz4, or alone in a tar archive"};
}

std::optional<DumpFormat> single_format(Content content) {
    if (content == Content::custom_dump) return DumpFormat::custom;
    if (content == Content::tar_dump) return DumpFormat::tar;
    if (content == Content::sql) return DumpFormat::sql;
    return std::nullopt;
}

const char* kind_of(archive_entry* entry) {
    if (archive_entry_hardlink(entry) != nullptr) return "a hard link";
    switch (archive_entry_filetype(entry)) {
        case AE_IFREG:
            return archive_entry_sparse_count(entry) > 0 ? "a sparse file" : nullptr;
        case AE_IFDIR:
            return nullptr;
        case AE_IFLNK:
            return "a symbolic link";
        case AE_IFIFO:
            return "a FIFO";
        case AE_IFCHR:
        case AE_IFBLK:
            return "a device";
        default:
            return "no regular file";
    }
}

// One archive: it holds a dump of one file, or the files of one in directory format, all in one folder.
class TarWalk {
public:
    TarWalk(ByteSource& tar, Budget& budget, const TakeFile& take_file)
        : input_(tar), budget_(budget), take_file_(take_file) {
        archive_read_support_format_tar(input_.get());
        archive_read_support_filter_none(input_.get());
    }

    MaybeFailure run() {
        if (auto opened = input_.open(); !opened) return to_failure(opened.error());
        for (int64_t count = 0;; ++count) {
            archive_entry* entry = nullptr;
            const int code = archive_read_next_header(input_.get(), &entry);
            if (code == ARCHIVE_EOF) break;
            // A warning is about a name in a foreign encoding, which nobody uses.
            if (code != ARCHIVE_OK && code != ARCHIVE_WARN)
                return to_failure(input_.failure("the tar archive is damaged or ends too early"));
            if (count == max_members)
                return unsafe("it has more than " + std::to_string(max_members) + " members");
            if (auto failure = take(entry)) return failure;
        }
        if (auto whole = input_.whole(); !whole) return to_failure(whole.error());
        if (files_.empty())
            return Failure{"BackupEmpty", "the tar archive must hold a dump, and holds no file"};
        if (is_directory_ && !files_.contains("toc.dat"))
            return Failure{"UnsupportedFormat",
                           "the tar archive has data files of a dump in directory format, and must have "
                           "its toc.dat too"};
        return std::nullopt;
    }

private:
    static Failure unsafe(const std::string& what) {
        return {"UnsafeArchive", "the tar archive must hold one dump in regular files, and " + what};
    }

    MaybeFailure take(archive_entry* entry) {
        const char* name = archive_entry_pathname(entry);
        const std::string path = name == nullptr ? "" : name;
        const std::string shown = "\"" + base::one_line(path, 200) + "\"";
        if (leaves_folder(path)) return unsafe(shown + " is a path that leaves it");
        if (const char* kind = kind_of(entry); kind != nullptr) return unsafe(shown + " is " + kind);
        if (archive_entry_filetype(entry) == AE_IFDIR) return std::nullopt;
        const size_t slash = path.rfind('/');
        const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash);
        const std::string base_name = path.substr(slash == std::string::npos ? 0 : slash + 1);
        MemberSource member(input_);
        Counted counted(member, budget_);
        PeekedSource content(counted);
        if (is_directory_member(base_name)) return take_member(folder, base_name, shown, content);
        return take_single(shown, content);
    }

    MaybeFailure take_member(const std::string& folder, const std::string& name, const std::string& shown,
                             PeekedSource& content) {
        if (!files_.empty() && (!is_directory_ || folder != folder_)) return several(shown);
        is_directory_ = true;
        folder_ = folder;
        if (!files_.insert(name).second) return unsafe(shown + " is there twice");
        return take_file_(DumpFormat::directory, name, content);
    }

    MaybeFailure take_single(const std::string& shown, PeekedSource& content) {
        if (!files_.empty()) return several(shown);
        files_.insert(single_name);
        const auto head = content.peek(head_bytes);
        if (!head) return to_failure(head.error());
        if (head->empty()) return Failure{"BackupEmpty", shown + " in the tar archive has no content"};
        const auto format = single_format(content_of(*head));
        if (!format) return unsupported(*head, shown + " in the tar archive");
        return take_file_(*format, single_name, content);
    }

    Failure several(const std::string& shown) const {
        return {"SeveralDumps", "the tar archive must hold one dump, and " + shown + " is beside \"" +
                                    base::one_line(*files_.begin(), 200) + "\""};
    }

    ArchiveInput input_;
    Budget& budget_;
    const TakeFile& take_file_;
    std::set<std::string> files_;
    std::string folder_;
    bool is_directory_ = false;
};

MaybeFailure unpack_plain(PeekedSource& plain, const std::string& what, Budget& budget,
                          const TakeFile& take_file) {
    const auto head = plain.peek(head_bytes);
    if (!head) return to_failure(head.error());
    if (head->empty()) return Failure{"BackupEmpty", what + " has no content"};
    const Content content = content_of(*head);
    if (content == Content::archive) {
        TarWalk walk(plain, budget, take_file);
        return walk.run();
    }
    const auto format = single_format(content);
    if (!format) return unsupported(*head, what);
    Counted counted(plain, budget);
    return take_file(*format, single_name, counted);
}

}  // namespace

std::string to_text(DumpFormat format) {
    switch (format) {
        case DumpFormat::custom:
            return "custom";
        case DumpFormat::tar:
            return "tar";
        case DumpFormat::directory:
            return "directory";
        case DumpFormat::sql:
            break;
    }
    return "plain";
}

MaybeFailure unpack(ByteSource& backup, const UnpackLimits& limits, const TakeFile& take_file) {
    Budget budget(limits);
    PeekedSource packed(backup);
    const auto head = packed.peek(head_bytes);
    if (!head) return to_failure(head.error());
    const Compression compression = compression_of(*head);
    MaybeFailure failure;
    if (compression == Compression::none) {
        failure = unpack_plain(packed, "the backup", budget, take_file);
    } else {
        const auto unpacked = decompressed(packed, compression);
        PeekedSource plain(*unpacked);
        failure = unpack_plain(plain, "what is compressed in the backup", budget, take_file);
        // Behind the end of an archive come its padding, and the checksum of it all.
        Counted rest(plain, budget);
        if (!failure) {
            if (auto drained = drain(rest); !drained) failure = to_failure(drained.error());
        }
    }
    if (!failure) {
        if (auto drained = drain(packed); !drained) failure = to_failure(drained.error());
    }
    return failure && budget.failure() ? budget.failure() : failure;
}

MaybeFailure unpack_folder(int folder_fd, const UnpackLimits& limits, const TakeFile& take_file) {
    Budget budget(limits);
    const auto names = names_in(folder_fd, max_members);
    if (!names) return to_failure(names.error());
    if (!std::ranges::binary_search(*names, "toc.dat"))
        return Failure{"UnsupportedFormat",
                       "the backup is a folder without toc.dat; it must be a dump made by pg_dump -Fd, "
                       "or a file"};
    for (const auto& name : *names) {
        if (!is_directory_member(name))
            return Failure{"UnsafeArchive",
                           "the folder must hold one dump, and has \"" + base::one_line(name, 200) + "\""};
        auto file = open_beneath(folder_fd, name);
        if (!file || file->is_folder)
            return Failure{"UnsafeArchive",
                           "\"" + base::one_line(name, 200) + "\" of the folder must be a regular file"};
        FileSource content(std::move(file->fd));
        Counted counted(content, budget);
        const auto failure = take_file(DumpFormat::directory, name, counted);
        if (failure) return budget.failure() ? budget.failure() : failure;
    }
    return std::nullopt;
}

bool leaves_folder(std::string_view path) {
    if (path.starts_with('/')) return true;
    while (!path.empty()) {
        const size_t slash = path.find('/');
        if (path.substr(0, slash) == "..") return true;
        path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    }
    return false;
}

bool is_directory_member(std::string_view name) {
    if (name == "toc.dat" || name == "blobs.toc") return true;
    const auto numbered = [&name](std::string_view before, std::string_view after) {
        if (!name.starts_with(before)) return false;
        const std::string_view rest = name.substr(before.size());
        const size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
        return digits > 0 && digits <= 10 && rest.substr(digits) == after;
    };
    if (numbered("blobs_", ".toc")) return true;
    for (const std::string_view suffix : {".dat", ".dat.gz", ".dat.lz4", ".dat.zst"}) {
        if (numbered("", suffix) || numbered("blob_", suffix)) return true;
    }
    return false;
}

}  // namespace dbrestore::backups
