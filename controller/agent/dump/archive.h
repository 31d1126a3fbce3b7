#pragma once
// What a dump holds, as pg_restore reads it; nothing here touches a database. A dump is untrusted: its names
// are only ever compared, counted, shown, or quoted.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/dump/definitions.h"
#include "agent/dump/dump_file.h"
#include "agent/programs.h"

namespace dbrestore::agent {

inline constexpr size_t max_entries = 5'000'000;

struct TocEntry {
    std::string line;         // as `pg_restore -l` prints it and -L takes it; of plain SQL there is none
    std::string description;  // TABLE, TABLE DATA, EXTENSION, …
    std::string rest;         // schema, name and owner, which spaces cannot part safely
};

struct Archive {
    std::string database, server_version;
    std::vector<TocEntry> entries;
    bool is_cut = false;  // there are more entries than are held here
    Definitions definitions;

    int64_t count(const std::string& description) const;
    void add_list_line(std::string_view line);  // of what `pg_restore --list` prints
};

// Why pg_restore refuses a dump: DumpTooNew, DumpTruncated, DumpDamaged; AgentFailed where it could not be
// run. UnsafeArchive where it would read files outside of the dump.
using backups::Failure;

// The table of contents and the definitions; the data is not looked at, but of plain SQL everything is.
// Nothing on success.
std::optional<Failure> read_archive(const DumpFile& dump, const RestorePrograms& programs, Archive& archive);

// Reads the dump to its last byte; `on_bytes` hears every second how much of the file is done.
// `output_bytes`: the SQL and data that came out.
std::optional<Failure> prove_readable(const DumpFile& dump, const std::string& pg_restore,
                                      const std::function<void(int64_t)>& on_bytes, int64_t& output_bytes);

// The same of a dump in one file that comes as a stream and is kept nowhere. The stream's own failure counts
// before pg_restore's.
std::optional<Failure> prove_streamed(backups::ByteSource& dump, DumpFormat format,
                                      const std::string& pg_restore, int64_t& output_bytes);

// Entries that an ordinary role cannot restore, each with the reason, for people.
std::vector<std::string> entries_for_superusers(const Archive& archive);

// Of the schemas that the dump makes, those that hold an extension: they must be there before it. In mode
// Clean all of them: dropping one would fail where it holds what the dump lacks.
std::vector<std::string> schemas_made_beforehand(const Archive& archive, bool clean);

// The lines for -L: all but extensions, their comments, and the schemas that were made beforehand.
std::string list_for_restore(const Archive& archive, bool clean);

// How many bytes a process and its children have read; 0 where it cannot be told.
int64_t bytes_read_by(pid_t pid);

}  // namespace dbrestore::agent
