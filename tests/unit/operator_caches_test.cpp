// Whose turn it is when something changes.

#include <gtest/gtest.h>

#include "decide/jobs.h"
#include "operator/caches.h"

namespace dbrestore::op {
namespace {

using Names = std::vector<std::string>;

class Wakes : public ::testing::Test {
protected:
    // The restores and servers whose turn it is after a Job, or a pod, with these labels has changed.
    std::pair<Names, Names> after_change_of(kube::RecordStore& kind, const std::string& step) {
        const resources::Key key{"shop", "dbr-" + step};
        kind.put({key, ++version_}, {{"metadata",
                                      {{"namespace", key.namespace_name},
                                       {"name", key.name},
                                       {"labels",
                                        {{decide::restore_name_label, "friday"},
                                         {decide::server_label, "db"},
                                         {decide::step_label, step}}}}}});
        return {taken_from(restores_), taken_from(servers_)};
    }

    kube::WorkQueue restores_, servers_;
    Caches caches_{restores_, servers_};

private:
    static Names taken_from(kube::WorkQueue& queue) {
        Names names;
        while (const auto key = queue.try_get()) {
            names.push_back(key->name);
            queue.done(*key);
        }
        return names;
    }

    uint64_t version_ = 0;
};

TEST_F(Wakes, AJobAndItsPodConcernWhoMadeThem) {
    for (kube::RecordStore* kind :
         {static_cast<kube::RecordStore*>(&caches_.jobs), static_cast<kube::RecordStore*>(&caches_.pods)}) {
        EXPECT_EQ(after_change_of(*kind, "prepare"), (std::pair<Names, Names>{{"friday"}, {}}));
        EXPECT_EQ(after_change_of(*kind, "cleanup"), (std::pair<Names, Names>{{"friday"}, {"db"}}));
        EXPECT_EQ(after_change_of(*kind, decide::catalog_step), (std::pair<Names, Names>{{}, {"db"}}))
            << "it bears the server's name where the others bear the restore's";
    }
}

}  // namespace
}  // namespace dbrestore::op
