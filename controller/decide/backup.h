#pragma once
// Where a restore's backup lies: in a store of its server, or on a claim that the restore names itself.

#include <optional>
#include <string>

#include "decide/validate.h"
#include "decide/world.h"

namespace dbrestore::decide {

// A claim counts as a store without a name. Nothing where the server has no store of the name, and for Undo.
std::optional<resources::Store> store_of(const World& world);

// Why the store can never serve this restore: another kind of backup lies there, or it cannot be listed.
std::optional<Reason> never_in_store(const World& world);

// What a person calls it: "dumps/shop.dump", "nightly: the newest backup".
std::string target_of(const resources::RestoreSpec& spec);

// The store as status names it.
std::string name_of_source(const resources::RestoreSpec& spec);

}  // namespace dbrestore::decide
