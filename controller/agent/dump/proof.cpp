#include "agent/dump/proof.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "agent/dump/sql_script.h"
#include "agent/text.h"
#include "backups/decompress.h"
#include "base/files.h"

namespace dbrestore::agent {

namespace {

namespace fs = std::filesystem;
using backups::ByteSource;
using backups::Compression;

// Of what a dump begins with, or of its lists: the pod's own folder is no place for more.
constexpr int64_t max_head_bytes = 64 << 20;
constexpr const char* member_suffixes[] = {".dat", ".dat.gz", ".dat.lz4", ".dat.zst"};

// What is read through it is counted, and kept where there is a file to keep it in, as long as there is space
// for it.
class Recorder final : public ByteSource {
public:
    Recorder(ByteSource& inner, int file, int64_t& space_bytes)
        : inner_(inner), file_(file), space_bytes_(space_bytes) {}

    base::Result<size_t> read(char* buffer, size_t size) override {
        auto count = inner_.read(buffer, size);
        if (!count) return count;
        const int64_t wanted = std::min(space_bytes_, static_cast<int64_t>(*count));
        if (file_ >= 0 && wanted > 0) {
            if (auto kept = base::write_all(file_, {buffer, static_cast<size_t>(wanted)}); !kept)
                return kept.error();
            space_bytes_ -= wanted;
        }
        bytes += static_cast<int64_t>(*count);
        return count;
    }

    int64_t bytes = 0;

private:
    ByteSource& inner_;
    int file_;
    int64_t& space_bytes_;
};

// The last bytes of what went by.
class Tail {
public:
    void add(std::string_view bytes) {
        text_ += bytes.substr(bytes.size() - std::min(bytes.size(), kept_bytes));
        text_.erase(0, text_.size() - std::min(text_.size(), kept_bytes));
        total_ += bytes.size();
    }
    // pg_dump ends the data of a table with empty lines, whether by COPY or by INSERT; pg_restore does not
    // ask for them.
    bool ends_table() const { return text_.ends_with("\n\n\n") || (total_ == 2 && text_ == "\n\n"); }

private:
    static constexpr size_t kept_bytes = 3;
    std::string text_;
    size_t total_ = 0;
};

Compression compression_of_member(const std::string& name) {
    if (name.ends_with(".gz")) return Compression::gzip;
    if (name.ends_with(".lz4")) return Compression::lz4;
    return name.ends_with(".zst") ? Compression::zstd : Compression::none;
}

class Proof {
public:
    Proof(const Context& context, const RestorePrograms& programs, ProvenDump& proven)
        : context_(context),
          programs_(programs),
          proven_(proven),
          folder_(context.surroundings.temporary_directory + "/dbrestore-proof") {}
    Proof(const Proof&) = delete;
    Proof& operator=(const Proof&) = delete;
    ~Proof() { remove_folder(); }

    std::optional<Failure> run(backups::OpenBackup& backup, int64_t max_bytes) {
        remove_folder();
        std::error_code code;
        if (!fs::create_directories(folder_, code))
            return Failure{"AgentFailed", "cannot make " + folder_, true};
        const auto take = [this](DumpFormat format, const std::string& name, ByteSource& content) {
            return take_file(format, name, content);
        };
        if (auto failure = unpack_backup(context_, backup, {"reading the backup", 100}, max_bytes, take))
            return failure;
        return read_contents();
    }

private:
    void remove_folder() const {
        std::error_code ignored;
        fs::remove_all(folder_, ignored);
    }

    std::optional<Failure> take_file(DumpFormat format, const std::string& name, ByteSource& content) {
        if (auto refused = refuse_format(context_, format, programs_)) return refused;
        proven_.format = format;
        const bool is_script = format == DumpFormat::sql, is_folder = format == DumpFormat::directory;
        const bool keep = is_folder ? name == "toc.dat" || name.ends_with(".toc") : !is_script;
        base::UniqueFd head;
        if (keep)
            head.reset(::open((folder_ + "/" + name).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
        if (keep && !head)
            return Failure{"AgentFailed", to_text(base::io_error("cannot write into " + folder_)), true};
        Recorder recorder(content, head.get(), space_bytes_);
        auto failure = is_folder ? prove_member(name, recorder)
                       : is_script
                           ? read_script(recorder, programs_.version, proven_.archive, proven_.output_bytes)
                           : prove_streamed(recorder, format, programs_.pg_restore, proven_.output_bytes);
        proven_.staged_bytes += recorder.bytes;
        members_.insert(name);
        return failure;
    }

    // pg_restore itself would need all of the members as files, and takes one that ends early for whole.
    std::optional<Failure> prove_member(const std::string& name, ByteSource& content) {
        const auto about = [&name](const std::string& reason, const std::string& what) {
            return Failure{reason, "\"" + name + "\" of the dump: " + what};
        };
        const auto compression = compression_of_member(name);
        backups::PeekedSource packed(content);
        const auto head = packed.peek(8);
        if (!head) return backups::to_failure(head.error());
        if (compression != Compression::none && backups::compression_of(*head) != compression)
            return about("BackupDamaged", "it is not compressed as its name says");
        const auto unpacked =
            compression == Compression::none ? nullptr : backups::decompressed(packed, compression);
        Tail tail;
        const auto read =
            backups::pump(unpacked == nullptr ? packed : *unpacked, [&](std::string_view bytes) {
                proven_.output_bytes += static_cast<int64_t>(bytes.size());
                tail.add(bytes);
                return base::success();
            });
        if (!read) {
            const Failure failure = backups::to_failure(read.error());
            return failure.reason == "BackupDamaged" ? about(failure.reason, failure.message) : failure;
        }
        const bool is_table = name[0] >= '0' && name[0] <= '9';
        if (is_table && !tail.ends_table()) return about("DumpTruncated", "the data ends too early");
        return std::nullopt;
    }

    std::optional<Failure> read_contents() {
        if (proven_.format == DumpFormat::sql) return std::nullopt;  // it had none but itself
        const bool directory = proven_.format == DumpFormat::directory;
        const std::string path = directory ? folder_ : folder_ + "/" + backups::single_name;
        const DumpFile dump(base::UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)}, proven_.format,
                            proven_.staged_bytes);
        auto failure = read_archive(dump, programs_, proven_.archive);
        if (failure && failure->reason == "DumpTruncated" && space_bytes_ == 0)
            failure->message = "the dump's table of contents must be at most " + human_size(max_head_bytes) +
                               " where the dump is not a file on a volume; " + failure->message;
        if (!failure && directory) return find_missing_member();
        return failure;
    }

    bool has_member(const std::string& name) const {
        return std::ranges::any_of(member_suffixes,
                                   [&](const char* suffix) { return members_.contains(name + suffix); });
    }

    std::optional<Failure> find_missing_member() const {
        for (const auto& entry : proven_.archive.entries) {
            const std::string id = entry.line.substr(0, entry.line.find(';'));
            if (entry.description == "TABLE DATA" && !has_member(id))
                return Failure{"DumpTruncated", "the dump must have a file " + id + ".dat for the data of " +
                                                    one_line(entry.rest, 200)};
            // Before version 17 all large objects are one entry.
            const std::string list = "blobs_" + id + ".toc";
            if (entry.description == "BLOBS" && !members_.contains("blobs.toc") && !members_.contains(list))
                return Failure{"DumpTruncated",
                               "the dump must have the list of its large objects, blobs.toc or " + list};
        }
        return check_large_objects();
    }

    // The lists of large objects, "16400 blob_16400.dat" a line, and the files of them must be the same.
    std::optional<Failure> check_large_objects() const {
        std::set<std::string> listed, there;
        for (const auto& name : members_) {
            if (name.starts_with("blob_")) there.insert(name.substr(0, name.find('.')));
            if (!name.ends_with(".toc")) continue;
            const auto text = base::read_file(folder_ + "/" + name, max_head_bytes);
            if (!text) return Failure{"BackupUnreadable", to_text(text.error()), true};
            for (const auto& line : lines_of(*text)) {
                const std::string file = line.substr(std::min(line.find(' ') + 1, line.size()));
                listed.insert(file.substr(0, file.find('.')));
            }
        }
        if (listed == there) return std::nullopt;
        return Failure{"DumpTruncated", "the dump lists " + std::to_string(listed.size()) +
                                            " large objects, and has files of " +
                                            std::to_string(there.size()) + "; they must be the same"};
    }

    const Context& context_;
    const RestorePrograms& programs_;
    ProvenDump& proven_;
    std::string folder_;
    std::set<std::string> members_;
    int64_t space_bytes_ = max_head_bytes;
};

}  // namespace

std::optional<Failure> prove_backup(const Context& context, backups::OpenBackup& backup,
                                    const RestorePrograms& programs, int64_t max_bytes, ProvenDump& proven) {
    const auto facts = backup.facts;
    const auto dump = usable_in_place(backup);
    if (!dump) {
        Proof proof(context, programs, proven);
        return proof.run(backup, max_bytes);
    }
    proven.format = dump->format();
    if (auto refused = refuse_format(context, proven.format, programs)) return refused;
    if (auto failure = read_archive(*dump, programs, proven.archive)) return failure;
    if (proven.format == DumpFormat::sql) {
        proven.output_bytes = dump->size_bytes();
        return std::nullopt;
    }
    const auto on_bytes = [&](int64_t bytes) {
        tell_bytes(context, {"reading the dump", 100}, bytes, facts.size_bytes);
    };
    return prove_readable(*dump, programs.pg_restore, on_bytes, proven.output_bytes);
}

}  // namespace dbrestore::agent
