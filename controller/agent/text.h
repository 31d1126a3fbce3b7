#pragma once
// Words for SQL; and those for people, under the names that the agent uses.

#include <string>
#include <string_view>

#include "base/text.h"

namespace dbrestore::agent {

using base::human_size;
using base::lines_of;
using base::LineSplitter;
using base::listed;
using base::one_line;
using base::replaced;
using base::trimmed;

// What of a program's own error is passed on in one of ours.
inline constexpr size_t max_told_bytes = 300;

// "Größe" -> "\"Größe\"": always quoted, so that no keyword list is needed.
std::string quote_identifier(std::string_view name);

// An SQL string constant; right whatever standard_conforming_strings says.
std::string quote_literal(std::string_view text);

// A value of a libpq connection string.
std::string quote_conninfo(std::string_view text);

}  // namespace dbrestore::agent
