#pragma once
// Whether a server on this machine has files open, whatever container it runs in: one whose pod was deleted
// by force may outlive it, and nobody else tells. A process ID in another namespace means nothing, and an
// idle server writes nothing for minutes.

#include <string>

namespace dbrestore::agent {

// Some of its WAL or of its shared catalogs are open for writing. Where the file system cannot tell, they are
// not.
bool is_open_for_writing(const std::string& data_directory);

}  // namespace dbrestore::agent
