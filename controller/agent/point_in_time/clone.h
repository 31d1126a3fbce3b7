#pragma once
// Files that share their blocks with others until one of them is written, where the file system can do that
// (xfs, btrfs).

#include <string>

namespace dbrestore::agent {

// Makes in the empty folder `copy` what of the server's files is worth a comparison with a backup's, links
// and what cannot be read left out. The server's own are only read. False where nothing can be cloned there:
// then `copy` is as empty as before.
bool clone_server(const std::string& data_directory, const std::string& copy);

}  // namespace dbrestore::agent
