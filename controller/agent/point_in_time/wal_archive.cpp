#include "agent/point_in_time/wal_archive.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "agent/programs.h"
#include "agent/text.h"
#include "backups/decompress.h"

namespace dbrestore::agent {

namespace {

namespace fs = std::filesystem;
using backups::Failure;

// A server without work switches segments now and then; further back nobody waits for the answer.
constexpr size_t max_segments = 16;
constexpr size_t segment_name_length = 24, folder_name_length = 16, timeline_length = 8;

class TextSource final : public backups::ByteSource {
public:
    explicit TextSource(std::string_view text) : rest_(text) {}
    base::Result<size_t> read(char* buffer, size_t size) override {
        const size_t count = rest_.copy(buffer, size);
        rest_.remove_prefix(count);
        return count;
    }

private:
    std::string_view rest_;
};

// "00000002…", as the names of folders, segments and histories begin.
int64_t timeline_of(std::string_view name) {
    uint32_t id = 0;
    const auto [end, code] =
        std::from_chars(name.data(), name.data() + std::min(name.size(), timeline_length), id, 16);
    return code == std::errc{} && end == name.data() + timeline_length ? id : 0;
}

std::vector<std::string> in_order(const std::set<std::string>& names, bool last) {
    return last ? std::vector<std::string>(names.rbegin(), names.rend())
                : std::vector<std::string>(names.begin(), names.end());
}

// "000000010000000000000003-<checksum>.gz", and none that a promotion cut off.
bool is_segment(const std::string& name) {
    return name.size() > segment_name_length && name[segment_name_length] == '-' &&
           is_segment_name(std::string_view(name).substr(0, segment_name_length));
}

}  // namespace

WalArchive::WalArchive(const Context& context, const PgBackRest& repository, const BackupSet& set)
    : repository_(repository),
      set_(set),
      folder_(context.surroundings.temporary_directory + "/dbrestore-segments") {}

std::optional<Failure> WalArchive::open() {
    const auto program = find_program("pg_waldump", set_.version);
    if (!program) return Failure{"ProgramsMissing", to_text(program.error())};
    pg_waldump_ = *program;
    std::error_code ignored;
    fs::create_directories(folder_, ignored);
    std::vector<std::string> names;
    if (auto failure = repository_.names_in(set_, "", names)) return failure;
    for (const auto& name : names) {
        const int64_t id = timeline_of(name);
        if (id == 0) continue;
        if (name.size() == folder_name_length) folders_[id].insert(name);
        if (name != history_file(id)) continue;
        folders_[id];
        histories_.insert(id);
    }
    while (folders_.size() > resources::max_timeline_spans) folders_.erase(folders_.begin());
    return std::nullopt;
}

std::vector<int64_t> WalArchive::timelines() const {
    std::vector<int64_t> ids;
    for (const auto& [id, folders] : folders_) ids.push_back(id);
    return ids;
}

std::optional<Failure> WalArchive::fork_of(int64_t id, std::optional<TimelineFork>& fork) const {
    std::string text;
    if (!histories_.contains(id)) return std::nullopt;
    if (auto failure = repository_.read(set_, history_file(id), text)) return failure;
    const auto timeline = timeline_from_history(id, text);
    if (timeline && !timeline->forks.empty()) fork = timeline->forks.back();
    return std::nullopt;
}

std::optional<Failure> WalArchive::find_commit(int64_t id, bool last, const LsnRange& range,
                                               std::string& time) const {
    size_t seen = 0;
    const auto at = folders_.find(id);
    if (at == folders_.end()) return std::nullopt;
    for (const auto& folder : in_order(at->second, last)) {
        std::vector<std::string> names;
        if (auto failure = repository_.names_in(set_, folder, names)) return failure;
        for (const auto& name : in_order({names.begin(), names.end()}, last)) {
            if (!is_segment(name)) continue;
            if (seen++ == max_segments) return std::nullopt;
            Commits commits;
            if (auto failure = read_segment(std::string(folder).append("/").append(name), range, commits))
                return failure;
            time = last ? commits.last : commits.first;
            if (!time.empty()) return std::nullopt;
        }
    }
    return std::nullopt;
}

std::optional<Failure> WalArchive::list_segments(const Timeline& timeline, uint64_t from_lsn,
                                                 int64_t segment_bytes, Segments& segments) const {
    std::set<int64_t> ids{timeline.id};
    for (const auto& fork : timeline.forks) ids.insert(fork.parent);
    const uint64_t first = from_lsn / static_cast<uint64_t>(segment_bytes);
    // The last of them is the youngest, whose name stays.
    for (const int64_t id : ids) {
        const auto at = folders_.find(id);
        if (at == folders_.end()) continue;
        for (const auto& folder : at->second) {
            // Its last segment begins before the position.
            if (segment_number(folder + "FFFFFFFF", segment_bytes).value_or(0) < first) continue;
            std::vector<std::string> names;
            if (auto failure = repository_.names_in(set_, folder, names)) return failure;
            for (const auto& name : names) {
                if (!is_segment(name)) continue;
                const auto number = segment_number(name.substr(0, segment_name_length), segment_bytes);
                if (number && *number >= first)
                    segments[*number] = std::string(folder).append("/").append(name);
            }
        }
    }
    return std::nullopt;
}

std::optional<Failure> WalArchive::last_commit_of(const Segments& segments, std::string& time) const {
    size_t seen = 0;
    for (auto at = segments.rbegin(); at != segments.rend() && seen < max_segments; ++at, ++seen) {
        Commits commits;
        if (auto failure = read_segment(at->second, {}, commits)) return failure;
        time = commits.last;
        if (!time.empty()) break;
    }
    return std::nullopt;
}

std::optional<Failure> WalArchive::read_segment(const std::string& path, const LsnRange& range,
                                                Commits& commits) const {
    std::string packed;
    if (auto failure = repository_.read(set_, path, packed)) return failure;
    const std::string file = folder_ + "/" + path.substr(path.find('/') + 1, segment_name_length);
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    TextSource source(packed);
    const auto unpacked = backups::decompressed(source, backups::compression_of(packed));
    const auto written = backups::pump(*unpacked, [&](std::string_view piece) -> base::Status {
        if (out.write(piece.data(), static_cast<std::streamsize>(piece.size()))) return base::success();
        return base::error(base::ErrorKind::io, "cannot write " + file);
    });
    out.close();
    if (written) commits = commits_in(pg_waldump_, file, range);
    std::error_code ignored;
    fs::remove(file, ignored);
    if (!written) return Failure{"RepositoryDamaged", path + " of the archive: " + to_text(written.error())};
    return std::nullopt;
}

}  // namespace dbrestore::agent
