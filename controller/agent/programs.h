#pragma once
// PostgreSQL's own programs, as the database's image brings them.

#include <string>
#include <string_view>

#include "base/result.h"

namespace dbrestore::agent {

// The major version that PG_VERSION in this folder names, such as "15". Errors: not_found; io; invalid.
base::Result<std::string> data_version(const std::string& directory);

// The full path of `name` for this major version: beside the first `postgres` in PATH that has it, else below
// /usr/lib/postgresql, /usr/local or /usr/pgsql-N. An empty version takes any. Errors: not_found.
base::Result<std::string> find_program(const std::string& name, const std::string& version);

// What restores a dump, of the server's own version.
struct RestorePrograms {
    std::string version;  // major
    std::string pg_restore, psql;
};

// Errors: not_found.
base::Result<RestorePrograms> find_restore_programs(const std::string& version);

// "15.18 (Debian 15.18-0+deb12u1)"; empty where the program does not say so.
std::string version_of(const std::string& program);

// Whether psql of this version keeps what a script holds from becoming commands (CVE-2026-18408).
bool is_safe_psql(std::string_view version);

}  // namespace dbrestore::agent
