// Restores to a point in time of a server that archives to two repositories: a folder, and an S3 server with
// TLS where all is encrypted.
#include <filesystem>
#include <fstream>
#include <thread>

#include "integration/point_in_time_fixture.h"
#include "integration/s3_server.h"

namespace dbrestore::tests {
namespace {

namespace fs = std::filesystem;

class AgentRepositories : public PointInTimeTest {
protected:
    // The older backup lies in the folder, the newer one on the S3 server.
    void SetUp() override {
        PointInTimeTest::SetUp();
        store_.emplace(folder() + "/s3");
        const std::string endpoint = store_->endpoint(), authority = folder() + "/s3/ca.crt";
        const std::string endpoint_port = endpoint.substr(endpoint.rfind(':') + 1);
        std::ofstream(configuration(), std::ios::app)
            // pgBackRest looks for no address in a certificate.
            << "[global]\nrepo2-type=s3\nrepo2-path=/shop\nrepo2-s3-endpoint=localhost\nrepo2-storage-port="
            << endpoint_port << "\nrepo2-s3-uri-style=path\nrepo2-s3-bucket=" << S3Server::bucket
            << "\nrepo2-s3-region=eu-1\nrepo2-s3-key=" << S3Server::access_key
            << "\nrepo2-s3-key-secret=" << S3Server::secret_key << "\nrepo2-storage-ca-file=" << authority
            << "\nrepo2-retention-full=9\nrepo2-cipher-type=aes-256-cbc\nrepo2-cipher-pass=a long pass "
               "phrase\n";
        ASSERT_NO_FATAL_FAILURE(pgbackrest({"stanza-create"}));
        write_rows(10);
        between_ = committed_at(5);
        ASSERT_NO_FATAL_FAILURE(pgbackrest({"backup", "--type=full", "--repo=2"}));
        std::this_thread::sleep_for(std::chrono::milliseconds(1100));
        write_rows(10);
        after_ = committed_at(15);
        stop_server();
    }
    void TearDown() override {
        kill_server();
        store_.reset();
        PointInTimeTest::TearDown();
    }

    std::string configuration() const { return folder() + "/repository-secret/pgbackrest.conf"; }

    void expect_restored_to(const std::string& time, int64_t row, const std::string& uid) {
        restore_to(at_time(time, 1), uid);
        start_server();
        EXPECT_EQ(last_row(), row);
        stop_server();
    }

    std::optional<S3Server> store_;
    std::string between_, after_;
};

TEST_F(AgentRepositories, TheBackupIsTakenFromWhicheverHasIt) {
    expect_restored_to(between_, 5, "a-1");
    expect_restored_to(after_, 15, "a-2");
}

TEST_F(AgentRepositories, OneThatCannotBeReadIsNamedAndTheOtherSuffices) {
    fs::rename(repository(), repository() + "-away");
    const AgentRun checked = run_for("preflight", at_time(after_));
    ASSERT_TRUE(checked.is_done()) << to_text(checked);
    const auto* finding = checked.finding("RepositoryUnreadable");
    ASSERT_NE(finding, nullptr);
    EXPECT_EQ(finding->outcome, resources::PreflightFinding::Outcome::warning);
    EXPECT_TRUE(finding->message.starts_with("repository 1 cannot be read: ")) << finding->message;
    expect_restored_to(after_, 15, "a-1");
    const std::string why = refusal(at_time(between_, 1));
    EXPECT_TRUE(why.starts_with("RepositoryUnreadable: repository 1 cannot be read: ")) << why;
    EXPECT_NE(why.find("must not be earlier than "), std::string::npos) << why;
    fs::rename(repository() + "-away", repository());
    expect_restored_to(between_, 5, "a-2");
}

}  // namespace
}  // namespace dbrestore::tests
