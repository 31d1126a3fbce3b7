#pragma once
// PostgreSQL's own programs, as the database's image brings them.

#include <string>

#include "base/result.h"

namespace dbrestore::agent {

// The major version that PG_VERSION in this folder names, such as "15". Errors: not_found; io; invalid.
base::Result<std::string> data_version(const std::string& directory);

// The full path of `name` for this major version: beside the first `postgres` in PATH that has it, else below
// /usr/lib/postgresql, /usr/local or /usr/pgsql-N. An empty version takes any. Errors: not_found.
base::Result<std::string> find_program(const std::string& name, const std::string& version);

}  // namespace dbrestore::agent
