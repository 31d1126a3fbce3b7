#pragma once
// The pages of a server that was recovered, by the server's own checksums.

#include <optional>
#include <string>

#include "agent/surroundings.h"

namespace dbrestore::agent {

// Reads every page of the stopped server in this folder, where it has checksums, and tells how far it is.
// Nothing where all is right, or there are none. Failures: ChecksumMismatch, naming the first file;
// ControlFileUnreadable; ProgramsMissing.
std::optional<AgentResult> check_pages(const Context& context, const std::string& directory);

}  // namespace dbrestore::agent
