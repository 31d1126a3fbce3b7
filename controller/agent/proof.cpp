#include "agent/proof.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "agent/text.h"
#include "backups/decompress.h"
#include "base/files.h"

namespace dbrestore::agent {

namespace {

namespace fs = std::filesystem;
using backups::ByteSource;
using backups::Compression;

// What a dump begins with, so that all of its table of contents is there. It waits in the pod's own folder.
constexpr int64_t max_head_bytes = 64 << 20;
constexpr const char* member_suffixes[] = {".dat", ".dat.gz", ".dat.lz4", ".dat.zst"};

// What is read through it is counted, and the first of it kept where there is a file to keep it in.
class Recorder final : public ByteSource {
public:
    Recorder(ByteSource& inner, int head_fd) : inner_(inner), head_fd_(head_fd) {}

    base::Result<size_t> read(char* buffer, size_t size) override {
        auto count = inner_.read(buffer, size);
        if (!count) return count;
        const int64_t wanted = std::clamp<int64_t>(max_head_bytes - bytes, 0, static_cast<int64_t>(*count));
        if (head_fd_ >= 0 && wanted > 0) {
            if (auto kept = base::write_all(head_fd_, {buffer, static_cast<size_t>(wanted)}); !kept)
                return kept.error();
        }
        bytes += static_cast<int64_t>(*count);
        return count;
    }

    int64_t bytes = 0;

private:
    ByteSource& inner_;
    int head_fd_;
};

Compression compression_of_member(const std::string& name) {
    if (name.ends_with(".gz")) return Compression::gzip;
    if (name.ends_with(".lz4")) return Compression::lz4;
    return name.ends_with(".zst") ? Compression::zstd : Compression::none;
}

class Proof {
public:
    Proof(const Context& context, std::string pg_restore, ProvenDump& proven)
        : pg_restore_(std::move(pg_restore)),
          proven_(proven),
          folder_(context.surroundings.temporary_directory + "/dbrestore-proof") {}
    Proof(const Proof&) = delete;
    Proof& operator=(const Proof&) = delete;
    ~Proof() { remove_folder(); }

    std::optional<Failure> run(const Context& context, backups::OpenBackup& backup, int64_t max_bytes) {
        remove_folder();
        std::error_code code;
        if (!fs::create_directories(folder_, code))
            return Failure{"AgentFailed", "cannot make " + folder_, true};
        const auto take = [this](DumpFormat format, const std::string& name, ByteSource& content) {
            return take_file(format, name, content);
        };
        if (auto failure = unpack_backup(context, backup, {"reading the backup", 100}, max_bytes, take))
            return failure;
        return read_contents();
    }

private:
    void remove_folder() const {
        std::error_code ignored;
        fs::remove_all(folder_, ignored);
    }

    std::optional<Failure> take_file(DumpFormat format, const std::string& name, ByteSource& content) {
        if (auto refused = refuse_format(format)) return refused;
        proven_.format = format;
        const bool keep =
            format != DumpFormat::directory || name.ends_with("toc.dat") || name.ends_with(".toc");
        base::UniqueFd head;
        if (keep)
            head.reset(::open((folder_ + "/" + name).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
        if (keep && !head)
            return Failure{"AgentFailed", to_text(base::io_error("cannot write into " + folder_)), true};
        Recorder recorder(content, head.get());
        const auto failure = format == DumpFormat::directory
                                 ? prove_member(name, recorder)
                                 : prove_streamed(recorder, format, pg_restore_, proven_.output_bytes);
        proven_.staged_bytes += recorder.bytes;
        members_.insert(name);
        return failure;
    }

    // pg_restore itself would need all of the members as files.
    std::optional<Failure> prove_member(const std::string& name, ByteSource& content) {
        const auto compression = compression_of_member(name);
        const auto unpacked =
            compression == Compression::none ? nullptr : backups::decompressed(content, compression);
        const auto read =
            backups::pump(unpacked == nullptr ? content : *unpacked, [this](std::string_view bytes) {
                proven_.output_bytes += static_cast<int64_t>(bytes.size());
                return base::success();
            });
        if (read) return std::nullopt;
        Failure failure = backups::to_failure(read.error());
        if (failure.reason == "BackupDamaged")
            failure.message = "\"" + name + "\" of the dump: " + failure.message;
        return failure;
    }

    std::optional<Failure> read_contents() {
        const bool directory = proven_.format == DumpFormat::directory;
        const std::string path = directory ? folder_ : folder_ + "/" + backups::single_name;
        const DumpFile dump(base::UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)}, proven_.format,
                            proven_.staged_bytes);
        auto failure = read_archive(dump, pg_restore_, proven_.archive);
        if (failure && failure->reason == "DumpTruncated" && proven_.staged_bytes > max_head_bytes)
            failure->message = "the dump's table of contents must be at most " + human_size(max_head_bytes) +
                               " where the dump is not a file on a volume; " + failure->message;
        if (!failure && directory) return find_missing_member();
        return failure;
    }

    std::optional<Failure> find_missing_member() const {
        for (const auto& entry : proven_.archive.entries) {
            if (entry.description != "TABLE DATA") continue;
            const std::string id = entry.line.substr(0, entry.line.find(';'));
            const bool there = std::ranges::any_of(
                member_suffixes, [&](const char* suffix) { return members_.contains(id + suffix); });
            if (!there)
                return Failure{"DumpTruncated", "the dump must have a file " + id + ".dat for the data of " +
                                                    one_line(entry.rest, 200)};
        }
        return std::nullopt;
    }

    std::string pg_restore_;
    ProvenDump& proven_;
    std::string folder_;
    std::set<std::string> members_;
};

}  // namespace

std::optional<Failure> prove_backup(const Context& context, backups::OpenBackup& backup,
                                    const std::string& pg_restore, int64_t max_bytes, ProvenDump& proven) {
    const auto facts = backup.facts;
    const auto dump = usable_in_place(backup);
    if (!dump) {
        Proof proof(context, pg_restore, proven);
        return proof.run(context, backup, max_bytes);
    }
    proven.format = dump->format();
    if (auto failure = read_archive(*dump, pg_restore, proven.archive)) return failure;
    const auto on_bytes = [&](int64_t bytes) {
        tell_bytes(context, {"reading the dump", 100}, bytes, facts.size_bytes);
    };
    return prove_readable(*dump, pg_restore, on_bytes, proven.output_bytes);
}

}  // namespace dbrestore::agent
