#pragma once
// The steps, and the one table that names them. Each can be run again after a SIGKILL at any point of it.

#include <string>
#include <vector>

#include "agent/surroundings.h"

namespace dbrestore::agent {

AgentResult probe(const Context& context);    // who owns the data directory
AgentResult catalog(const Context& context);  // lists a store, or a repository
AgentResult preflight(
    const Context& context);                  // all that speaks against the restore, while the database runs
AgentResult quiesce(const Context& context);  // makes the stop short; never stands in its way
AgentResult prepare(const Context& context);  // the dump becomes a new database beside the old one
AgentResult verify(const Context& context);  // the new database is whole; with a host: it is what clients get
AgentResult commit(const Context& context);  // two renames in one transaction; the old one is kept
AgentResult rollback(const Context& context);  // as if nothing had been
AgentResult cleanup(const Context& context);   // drops the old database that was kept

struct Step {
    const char* name;
    AgentResult (*run)(const Context&);
};

const std::vector<Step>& steps();
const Step* find_step(const std::string& name);

// Copies the agent's bundle into a folder that the database's own image gets. Errors: io.
base::Status install(const std::string& bundle_directory, const std::string& target);

}  // namespace dbrestore::agent
