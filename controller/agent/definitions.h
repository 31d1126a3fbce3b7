#pragma once
// What the SQL of a dump's definitions tells that its table of contents does not. Found line by line in the
// output of `pg_restore --schema-only`; it is never run here, and a hostile dump can at most make us refuse
// it.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dbrestore::agent {

struct DumpExtension {
    std::string name, schema;
    bool operator==(const DumpExtension&) const = default;
};

struct Definitions {
    std::string encoding;
    std::vector<DumpExtension> extensions;
    std::vector<std::string> schemas;         // that the dump makes
    std::vector<std::string> roles;           // that policies and user mappings name
    std::vector<std::string> for_superusers;  // "function a.b in language c", each once

    void add_line(std::string_view line);

private:
    std::string function_;  // the one whose definition is being read
};

// Where the word stands outside quoted identifiers; npos where it does not.
size_t find_outside_quotes(std::string_view text, std::string_view word);

// An identifier at `at`, plain or quoted; moves `at` behind it. Nothing where there is none.
std::optional<std::string> read_identifier(std::string_view text, size_t& at);

}  // namespace dbrestore::agent
