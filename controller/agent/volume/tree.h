#pragma once
// The database's files behind a stub. While a private server works, no foreign pod may start a server on them
// or run initdb, so they lie in <data directory>/.dbrestore/tree and the data directory's own PG_VERSION is a
// text that fits no server. That works in every layout: the parent of the data directory is never touched.
//
// What a crash leaves can be told by looking alone:
//   PG_VERSION is no stub                the data directory is live; a tree folder holds at most a copy of
//   PG_VERSION PG_VERSION is the stub               the files are in the tree, or on their way to it or from
//   it

#include <string>

#include "base/result.h"

namespace dbrestore::agent {

class Tree {
public:
    Tree(std::string data_directory, std::string tree)
        : data_directory_(std::move(data_directory)), tree_(std::move(tree)) {}

    const std::string& path() const { return tree_; }

    bool is_hidden() const;
    // Both may be called again after a crash at any point, and do nothing where nothing is left to do. What
    // is shown has no postmaster.pid: no server runs on it. Errors: io; conflict where both places hold a
    // database.
    base::Status hide() const;
    base::Status show() const;

private:
    base::Status move_all(const std::string& from, const std::string& to) const;

    std::string data_directory_, tree_;
};

}  // namespace dbrestore::agent
