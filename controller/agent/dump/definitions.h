#pragma once
// What the SQL of a dump's definitions tells that its table of contents does not. Found line by line in the
// output of `pg_restore --schema-only`; it is never run here, and a hostile dump can at most make us refuse
// it.

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace dbrestore::agent {

struct DumpExtension {
    std::string name, schema;
    bool operator==(const DumpExtension&) const = default;
};

// Each once, in the order in which they came; no more than the dump of a real database has.
class Names {
public:
    void add(std::string name);
    const std::vector<std::string>& list() const { return list_; }

private:
    std::vector<std::string> list_;
    std::set<std::string> known_;
};

struct Definitions {
    std::string encoding;
    std::vector<DumpExtension> extensions;
    Names schemas;         // that the dump makes
    Names roles;           // that policies and user mappings name
    Names for_superusers;  // "function a.b in language c"

    void add_line(std::string_view line);

private:
    std::string function_;  // the one whose definition is being read
};

// Where the word stands outside quoted identifiers; npos where it does not.
size_t find_outside_quotes(std::string_view text, std::string_view word);

// An identifier at `at`, plain or quoted; moves `at` behind it. Nothing where there is none.
std::optional<std::string> read_identifier(std::string_view text, size_t& at);

}  // namespace dbrestore::agent
