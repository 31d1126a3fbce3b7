// Whole restores from whatever a dump is packed in, and from a real S3 server.

#include <filesystem>
#include <fstream>
#include <set>

#include "agent/text.h"
#include "base/files.h"
#include "integration/agent_fixture.h"
#include "integration/s3_server.h"
#include "integration/web_server.h"
#include "support/archives.h"
#include "support/loopback_server.h"

namespace dbrestore::tests {
namespace {

namespace fs = std::filesystem;
using test::compressed;

std::string content_of(const std::string& path) {
    const auto text = base::read_file(path, 256u << 20);
    EXPECT_TRUE(text) << path;
    return text ? *text : "";
}

class AgentBackups : public AgentTest {
protected:
    std::string source(const std::string& name) const { return folder() + "/source/" + name; }

    // Names of the files in it, with their content.
    std::vector<test::ArchiveMember> members_of(const std::string& directory) const {
        std::vector<test::ArchiveMember> members;
        for (const auto& entry : fs::directory_iterator(source(directory)))
            members.push_back({directory + "/" + entry.path().filename().string(), content_of(entry.path())});
        return members;
    }

    void write(const std::string& name, const std::string& content) const {
        std::ofstream(source(name), std::ios::binary) << content;
    }

    // Preflight beside the running server, then all the steps; the content is that of the dump, and nothing
    // is left.
    void restore_from(const std::string& name) {
        backup_name_ = name;
        start_server();
        sql("TRUNCATE shop.order_lines");
        const AgentRun checked = run(asked("preflight"));
        ASSERT_TRUE(checked.is_done()) << name << ": " << to_text(checked);
        ASSERT_TRUE(checked.result.chosen);
        backup_name_ = checked.result.chosen->name;
        backup_identity_ = checked.result.chosen->identity;
        stop_server();
        for (const char* step : {"prepare", "verify", "commit"}) {
            const AgentRun ran = run(asked(step));
            ASSERT_TRUE(ran.is_done()) << name << ": " << step << ": " << to_text(ran);
        }
        EXPECT_FALSE(fs::exists(data_directory() + "/.dbrestore/dump")) << name;
        start_server();
        EXPECT_EQ(difference(good_, fingerprint()), "") << name;
    }

    resources::AgentRequest asked(const std::string& step) {
        auto request = step == "preflight" ? request_to_server(step) : this->request(step);
        request.store = store_;
        request.choice = choice_;
        request.backup_name = backup_name_;
        request.backup_identity = backup_identity_;
        return request;
    }

    void remember_content() {
        start_server();
        good_ = fingerprint();
    }

    void write_secret(const std::string& file, const std::string& content) const {
        const fs::path path = folder() + "/store/" + file;
        fs::create_directories(path.parent_path());
        std::ofstream(path) << content << "\n";
    }
    // Name, format and major version of each backup that was listed.
    static std::set<std::string> seen_in(const AgentRun& listed) {
        std::set<std::string> seen;
        for (const auto& backup : listed.result.backups)
            seen.insert(backup.name + " " + backup.format + " " +
                        backup.server_version.substr(0, backup.server_version.find('.')));
        return seen;
    }
    std::string reason() { return run(asked("preflight")).result.reason; }

    resources::Store store_;
    resources::BackupChoice choice_;
    std::string good_, backup_name_, backup_identity_;
};

TEST_F(AgentBackups, TheSeedsArchiveIsRestored) {
    remember_content();
    stop_server();
    write("20261122.tar.gz",
          compressed(test::tar_of({{"20261122.pgsql", content_of(source("shop.dump"))}}), "gzip"));
    restore_from("20261122.tar.gz");
}

TEST_F(AgentBackups, ADumpInTarFormatIsRestoredCompressedOrNot) {
    remember_content();
    dump("shop.tar", "shop", {"-Ft"});
    stop_server();
    restore_from("shop.tar");
}

TEST_F(AgentBackups, ADumpInDirectoryFormatIsRestoredFromAFolder) {
    remember_content();
    dump("shop.dir", "shop", {"-Fd"});
    stop_server();
    restore_from("shop.dir");
}

TEST_F(AgentBackups, ADumpInDirectoryFormatIsRestoredFromAnArchive) {
    remember_content();
    dump("shop.dir", "shop", {"-Fd", "-Z0"});
    stop_server();
    write("shop.tar.zst", compressed(test::tar_of(members_of("shop.dir")), "zstd"));
    restore_from("shop.tar.zst");
}

TEST_F(AgentBackups, WhatIsWrongInADirectoryDumpIsSeenBeforeTheStop) {
    start_server();
    dump("shop.dir", "shop", {"-Fd"});
    const auto members = members_of("shop.dir");
    size_t data = 0;
    for (size_t i = 0; i < members.size(); ++i) {
        if (members[i].name.ends_with(".dat.gz") && members[i].content.size() > members[data].content.size())
            data = i;
    }
    ASSERT_TRUE(members[data].name.ends_with(".dat.gz"));
    const auto refused = [&](const std::vector<test::ArchiveMember>& changed) {
        write("bad.tar.gz", compressed(test::tar_of(changed), "gzip"));
        backup_name_ = "bad.tar.gz";
        return run(asked("preflight")).result.reason;
    };
    auto changed = members;
    changed[data].content[changed[data].content.size() / 2] ^= 0x10;
    EXPECT_EQ(refused(changed), "BackupDamaged");
    changed = members;
    changed[data].content.resize(changed[data].content.size() / 2);
    EXPECT_EQ(refused(changed), "BackupDamaged");
    changed = members;
    changed.erase(changed.begin() + static_cast<long>(data));
    EXPECT_EQ(refused(changed), "DumpTruncated");
}

// pg_restore takes a table that ends early for whole.
TEST_F(AgentBackups, ATableOrAListOfLargeObjectsThatIsCutOffIsSeenBeforeTheStop) {
    start_server();
    dump("shop.dir", "shop", {"-Fd", "-Z0"});
    std::string table, list;
    for (const auto& entry : fs::directory_iterator(source("shop.dir"))) {
        const std::string name = entry.path().filename();
        if (name[0] >= '0' && name[0] <= '9' && entry.file_size() > 1000) table = name;
        if (name.starts_with("blobs") &&
            (list.empty() || entry.file_size() > fs::file_size(source("shop.dir/" + list))))
            list = name;
    }
    ASSERT_FALSE(table.empty() || list.empty());
    backup_name_ = "shop.dir";
    const AgentRun whole = run(asked("preflight"));
    ASSERT_TRUE(whole.is_done()) << to_text(whole);
    for (const std::string& name : {table, list}) {
        const std::string path = source("shop.dir/" + name), content = content_of(path);
        fs::resize_file(path, content.rfind('\n', content.size() / 2) + 1);
        EXPECT_EQ(reason(), "DumpTruncated") << name;
        backup_identity_ = whole.result.chosen->identity;
        EXPECT_EQ(reason(), "BackupChanged") << name;
        backup_identity_.clear();
        write("shop.dir/" + name, content);
    }
    EXPECT_EQ(reason(), "");
    fs::rename(source("shop.dir/" + list), source("kept"));
    for (const auto& object : agent::lines_of(content_of(source("kept"))))
        fs::remove(source("shop.dir/" + object.substr(object.find(' ') + 1)));
    EXPECT_EQ(reason(), "DumpTruncated") << "a list and all that it names";
}

TEST_F(AgentBackups, TheCatalogOfAClaimSaysWhatEachBackupIs) {
    start_server();
    dump("shop.dir", "shop", {"-Fd"});
    dump("shop.tar", "shop", {"-Ft"});
    write("dir.tar.zst", compressed(test::tar_of(members_of("shop.dir")), "zstd"));
    write("plain.sql.xz", compressed("--\n-- PostgreSQL database dump\n--\n", "xz"));
    write("cut.dump", content_of(source("shop.dump")).substr(0, 30));
    write("noise", std::string(300'000, '\x8b'));
    write("empty", "");
    fs::create_symlink("/etc/passwd", source("link"));
    store_.name = "by-hand";
    store_.claim_name = "dumps";
    const AgentRun listed = run(asked("catalog"));
    ASSERT_TRUE(listed.is_done()) << to_text(listed);
    EXPECT_EQ(seen_in(listed),
              (std::set<std::string>{"shop.dump custom 15", "shop.dir directory 15", "shop.tar tar 15",
                                     "dir.tar.zst directory 15", "plain.sql.xz plain ", "cut.dump custom ",
                                     "noise  ", "empty  "}));
}

class AgentS3 : public AgentBackups {
protected:
    void SetUp() override {
        AgentBackups::SetUp();
        server_ = std::make_unique<S3Server>(folder() + "/s3");
        store_.name = "nightly";
        store_.kind = "Scheduled";
        store_.s3 = resources::S3Location{server_->endpoint(), S3Server::bucket, "nightly", "eu-1",
                                          "shop-s3",           "shop-ca"};
        write_secret("credentials/AWS_ACCESS_KEY_ID", S3Server::access_key);
        write_secret("credentials/AWS_SECRET_ACCESS_KEY", S3Server::secret_key);
        write_secret("ca/ca.crt", server_->authority_pem());
    }
    std::unique_ptr<S3Server> server_;
};

TEST_F(AgentS3, TheNewestBackupIsChosenAndRestored) {
    remember_content();
    stop_server();
    write("old", "not this one");
    write("new", compressed(test::tar_of({{"20261122.pgsql", content_of(source("shop.dump"))}}), "gzip"));
    server_->put(source("old"), "nightly/shop%2020261121.tar.gz");
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    server_->put(source("new"), "nightly/shop%2B20261122.tar.gz");
    server_->put(source("old"), "nightly/shop%2B20261122.tar.gz.sha256");
    server_->put(source("old"), "elsewhere/later.tar.gz");
    choice_.latest = true;
    restore_from("");
    EXPECT_EQ(backup_name_, "shop+20261122.tar.gz");
}

TEST_F(AgentS3, EachReasonAgainstAStoreIsNamed) {
    start_server();
    server_->put(source("shop.dump"), "nightly/shop.dump");
    choice_.before = base::parse_time("2020-01-01T00:00:00Z");
    const AgentRun too_early = run(asked("preflight"));
    EXPECT_EQ(too_early.result.reason, "BackupNotFound") << to_text(too_early);
    EXPECT_EQ(too_early.result.waiting_for, std::vector<std::string>{"BackupNotFound"});
    backup_name_ = "tomorrow.dump";
    EXPECT_EQ(reason(), "BackupNotFound");
    backup_name_ = "shop.dump";
    EXPECT_EQ(reason(), "");
    backup_identity_ = "\"another\"";
    EXPECT_EQ(reason(), "BackupChanged");
    backup_identity_.clear();
    write_secret("credentials/AWS_SECRET_ACCESS_KEY", "wrong-key");
    const AgentRun refused = run(asked("preflight"));
    EXPECT_EQ(refused.result.reason, "StoreAccessDenied") << to_text(refused);
    EXPECT_EQ((refused.out + refused.err).find("wrong-key"), std::string::npos);
    fs::remove(folder() + "/store/credentials/AWS_SECRET_ACCESS_KEY");
    EXPECT_EQ(reason(), "StoreSecretMissing");
    write_secret("credentials/AWS_SECRET_ACCESS_KEY", S3Server::secret_key);
    write_secret("ca/ca.crt", test::make_authority("a stranger").certificate_pem);
    const AgentRun untrusted = run(asked("preflight"));
    EXPECT_EQ(untrusted.result.reason, "StoreAccessDenied") << to_text(untrusted);
    EXPECT_NE(untrusted.result.message.find("caSecretRef"), std::string::npos) << to_text(untrusted);
}

TEST_F(AgentS3, TheCatalogListsWhatIsThere) {
    server_->put(source("shop.dump"), "nightly/monday.dump");
    server_->put(source("shop.dump"), "nightly/week/sunday.dump");
    const AgentRun listed = run(asked("catalog"));
    ASSERT_TRUE(listed.is_done()) << to_text(listed);
    EXPECT_EQ(listed.result.backup_count, 2);
    ASSERT_EQ(listed.result.backups.size(), 2u);
    EXPECT_EQ(listed.result.backups[0].size_bytes, static_cast<int64_t>(fs::file_size(source("shop.dump"))));
    EXPECT_EQ(seen_in(listed),
              (std::set<std::string>{"monday.dump custom 15", "week/sunday.dump custom 15"}));
}

// Larger than what is asked for of each; and only the newest few are asked for at all.
TEST_F(AgentS3, TheCatalogLooksAtTheFirstBytesOfTheNewest) {
    write("large", test::dump_like(1, 3 << 20));
    write("archive", compressed(test::tar_of({{"a.pgsql", content_of(source("shop.dump"))}}), "gzip"));
    server_->put(source("large"), "nightly/large");
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    for (int i = 0; i < 10; ++i) server_->put(source("archive"), "nightly/" + std::to_string(i) + ".tar.gz");
    std::set<std::string> expected{"large  "};
    for (int i = 0; i < 10; ++i) expected.insert(std::to_string(i) + ".tar.gz custom 15");
    EXPECT_EQ(seen_in(run(asked("catalog"))), expected);
    for (int i = 0; i < 10; ++i) server_->remove("nightly/" + std::to_string(i) + ".tar.gz");
    EXPECT_EQ(seen_in(run(asked("catalog"))), std::set<std::string>{"large custom "});
}

class AgentWeb : public AgentBackups {
protected:
    void serve(bool with_ranges) {
        server_ = std::make_unique<WebServer>(folder() + "/web", folder() + "/source", with_ranges);
        store_.name = "web";
        store_.kind = "Dump";
        store_.http = resources::HttpLocation{server_->url(), "shop-headers", ""};
        write_secret(std::string("headers/") + WebServer::header, WebServer::key);
    }
    std::unique_ptr<WebServer> server_;
};

TEST_F(AgentWeb, ADumpIsRestoredFromAWebServerByItsName) {
    remember_content();
    stop_server();
    write("shop.dump.gz", compressed(content_of(source("shop.dump")), "gzip"));
    serve(false);
    restore_from("shop.dump.gz");
}

TEST_F(AgentWeb, EachReasonAgainstAWebServerIsNamed) {
    start_server();
    serve(true);
    backup_name_ = "shop.dump";
    EXPECT_EQ(reason(), "");
    backup_name_ = "tomorrow.dump";
    EXPECT_EQ(reason(), "BackupNotFound");
    backup_name_ = "../shop.dump";
    EXPECT_EQ(reason(), "BackupNotFound");
    write("error", "<html>\n<head><title>404 Not Found</title></head></html>\n");
    backup_name_ = "error";
    EXPECT_EQ(reason(), "UnsupportedFormat");
    backup_name_ = "shop.dump";
    write_secret(std::string("headers/") + WebServer::header, "another-key");
    const AgentRun refused = run(asked("preflight"));
    EXPECT_EQ(refused.result.reason, "StoreAccessDenied") << to_text(refused);
    EXPECT_EQ((refused.out + refused.err).find("another-key"), std::string::npos);
}

}  // namespace
}  // namespace dbrestore::tests
