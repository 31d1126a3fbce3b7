#include "agent/reachable.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "agent/programs.h"
#include "agent/text.h"
#include "agent/wal_commits.h"
#include "backups/decompress.h"
#include "base/clock.h"

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

// The WAL archive of one server in one repository.
class WalArchive {
public:
    WalArchive(const Context& context, const PgBackRest& repository, const BackupSet& newest)
        : repository_(repository),
          set_(newest),
          folder_(context.surroundings.temporary_directory + "/dbrestore-segments") {}

    std::optional<Failure> open() {
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
            if (name == history_file(id)) folders_[id];
        }
        while (folders_.size() > resources::max_timeline_spans) folders_.erase(folders_.begin());
        return std::nullopt;
    }

    std::vector<int64_t> timelines() const {
        std::vector<int64_t> ids;
        for (const auto& [id, folders] : folders_) ids.push_back(id);
        return ids;
    }

    // Nothing where the archive does not say from where it forked.
    std::optional<Failure> fork_of(int64_t id, std::optional<TimelineFork>& fork) const {
        std::string text;
        if (id == 1) return std::nullopt;
        if (auto failure = repository_.read(set_, history_file(id), text)) return failure;
        const auto timeline = timeline_from_history(id, text);
        if (timeline && !timeline->forks.empty()) fork = timeline->forks.back();
        return std::nullopt;
    }

    // The first or the last commit at `from_lsn` or later; empty where it is not in the segments next to that
    // end.
    std::optional<Failure> find_commit(int64_t id, bool last, uint64_t from_lsn, std::string& time) const {
        size_t seen = 0;
        auto folders = in_order(folders_.at(id), last);
        for (const auto& folder : folders) {
            std::vector<std::string> names;
            if (auto failure = repository_.names_in(set_, folder, names)) return failure;
            for (const auto& name : in_order({names.begin(), names.end()}, last)) {
                if (!is_segment(name)) continue;
                if (seen++ == max_segments) return std::nullopt;
                Commits commits;
                if (auto failure = read_segment(folder + "/" + name, from_lsn, commits)) return failure;
                time = last ? commits.last : commits.first;
                if (!time.empty()) return std::nullopt;
            }
        }
        return std::nullopt;
    }

private:
    static std::vector<std::string> in_order(const std::set<std::string>& names, bool last) {
        return last ? std::vector<std::string>(names.rbegin(), names.rend())
                    : std::vector<std::string>(names.begin(), names.end());
    }

    // "000000010000000000000003-<checksum>.gz", and none that a promotion cut off.
    static bool is_segment(const std::string& name) {
        return name.size() > segment_name_length && name[segment_name_length] == '-' &&
               is_segment_name(std::string_view(name).substr(0, segment_name_length));
    }

    std::optional<Failure> read_segment(const std::string& path, uint64_t from_lsn, Commits& commits) const {
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
        if (written) commits = commits_in(pg_waldump_, file, from_lsn);
        std::error_code ignored;
        fs::remove(file, ignored);
        if (!written)
            return Failure{"RepositoryDamaged", path + " of the archive: " + to_text(written.error())};
        return std::nullopt;
    }

    const PgBackRest& repository_;
    const BackupSet& set_;
    std::string folder_, pg_waldump_;
    std::map<int64_t, std::set<std::string>> folders_;  // with segments, by timeline
};

std::optional<Failure> describe(const WalArchive& archive, int64_t id, bool is_live,
                                resources::ReachablePoints& points) {
    resources::TimelineSpan span{id, 0, {}, {}, {}};
    std::optional<TimelineFork> fork;
    if (auto failure = archive.fork_of(id, fork)) return failure;
    if (fork) {
        span.parent = fork->parent;
        span.fork_lsn = lsn_to_text(fork->lsn);
        if (auto failure = archive.find_commit(id, false, fork->lsn, span.live_from)) return failure;
    }
    std::string last;
    if (auto failure = archive.find_commit(id, true, fork ? fork->lsn : 0, last)) return failure;
    // Its first segment begins with what was written before the fork: right after a restore that is the last
    // commit.
    if (is_live && last.empty()) {
        if (auto failure = archive.find_commit(id, true, 0, last)) return failure;
    }
    (is_live ? points.latest : span.live_to) = last;
    points.timelines.push_back(std::move(span));
    return std::nullopt;
}

}  // namespace

std::optional<Failure> find_reachable(const Context& context, const PgBackRest& repository,
                                      RepositoryContents& contents) {
    std::vector<BackupSet> sets;
    if (auto failure = repository.list(sets)) return failure;
    std::erase_if(sets, [](const BackupSet& set) { return set.damaged || set.archive.empty(); });
    if (sets.empty())
        return Failure{"NoBackup", "the repository holds no backup that a restore can begin with"};
    const BackupSet newest = *std::ranges::max_element(sets, {}, &BackupSet::stop_seconds);
    std::erase_if(sets, [&](const BackupSet& set) {
        return set.system_identifier != newest.system_identifier || set.version != newest.version;
    });
    contents.backup_count = static_cast<int64_t>(sets.size());
    const BackupSet& oldest = *std::ranges::min_element(sets, {}, &BackupSet::stop_seconds);
    contents.points.earliest = base::format_time(certain_end(oldest));
    WalArchive archive(context, repository, newest);
    if (auto failure = archive.open()) return failure;
    const auto ids = archive.timelines();
    for (const int64_t id : ids) {
        if (auto failure = describe(archive, id, id == ids.back(), contents.points)) return failure;
    }
    return std::nullopt;
}

}  // namespace dbrestore::agent
