#pragma once
// From whatever a restore began back to the data that the database had.

#include "decide/action.h"
#include "decide/world.h"

namespace dbrestore::decide {

// The phase RollingBack. It ends Failed or Cancelled, as `status.failure` says. Where the restored data turns
// out to have been served, it goes on in Starting instead: what clients wrote is never taken back.
Plan rolling_back(const World& world);

}  // namespace dbrestore::decide
