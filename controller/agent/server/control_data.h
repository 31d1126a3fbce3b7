#pragma once
// What pg_control says, read by pg_controldata.

#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"

namespace dbrestore::agent {

struct ControlData {
    std::string text;  // all of it: two equal texts mean that no server wrote in between
    std::map<std::string, std::string> fields;

    std::string field(const std::string& name) const;
    int64_t timeline() const;  // of the last checkpoint; 0 where it does not say
    // A server that is running, or one that was killed.
    bool in_production() const { return field("Database cluster state") == "in production"; }
    bool shut_down() const { return field("Database cluster state") == "shut down"; }
};

// What pg_controldata printed.
ControlData control_data_from_text(std::string text);

// Errors: not_found where the image lacks the program; io; failed where pg_control cannot be read.
base::Result<ControlData> read_control_data(const std::string& directory, const std::string& version);

}  // namespace dbrestore::agent
