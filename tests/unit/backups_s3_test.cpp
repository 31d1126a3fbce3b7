// URLs and listings of S3, and which backup is meant.

#include <gtest/gtest.h>

#include "backups/s3.h"

namespace dbrestore::backups {
namespace {

using resources::Backup;
using resources::BackupChoice;

TEST(S3, urls_are_in_path_style_unless_the_endpoint_names_the_bucket) {
    resources::S3Location location{"https://s3.example.com/", "shop-backups", "nightly/", "eu-1", "", ""};
    EXPECT_EQ(s3_object_url(location, "a b+c/ü.dump"),
              "https://s3.example.com/shop-backups/nightly/a%20b%2Bc/%C3%BC.dump");
    EXPECT_EQ(s3_list_url(location, ""),
              "https://s3.example.com/shop-backups/?encoding-type=url&list-type=2&prefix=nightly%2F");
    EXPECT_EQ(s3_list_url(location, "1/x="),
              "https://s3.example.com/shop-backups/?continuation-token=1%2Fx%3D&encoding-type=url&"
              "list-type=2&prefix=nightly%2F");
    location.endpoint = "https://shop-backups.s3.example.com";
    location.prefix = "";
    EXPECT_EQ(s3_object_url(location, "x"), "https://shop-backups.s3.example.com/x");
}

TEST(S3, a_listing_is_read_below_the_prefix) {
    const resources::S3Location location{"https://s3.example.com", "shop-backups", "nightly", "", "", ""};
    const auto page = s3_page(location, R"(<?xml version="1.0" encoding="UTF-8"?>
        <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>
        <Contents><Key>nightly/</Key><Size>0</Size></Contents>
        <Contents><Key>nightly/a%20b+c.dump</Key><LastModified>2026-11-22T10:00:00.123Z</LastModified><ETag>"e1"</ETag><Size>12</Size></Contents>
        <Contents><Key>nightly-else/x</Key><Size>1</Size></Contents>
        <IsTruncated>true</IsTruncated><NextContinuationToken>next</NextContinuationToken></ListBucketResult>)");
    ASSERT_TRUE(page) << page.error().message;
    ASSERT_EQ(page->backups.size(), 1u);
    EXPECT_EQ(page->backups[0],
              (Backup{"a b c.dump", base::parse_time("2026-11-22T10:00:00.123Z"), 12, "\"e1\""}));
    EXPECT_EQ(page->continuation, "next");
    for (const char* bad :
         {"", "<html></html>", "<ListBucketResult", "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"})
        EXPECT_FALSE(s3_page(location, bad)) << bad;
}

TEST(Choice, is_by_name_or_the_newest_or_the_newest_before) {
    const auto at = [](const char* time) { return base::parse_time(time); };
    std::vector<Backup> backups{{"tuesday", at("2026-11-24T02:00:00Z"), 1, ""},
                                {"monday", at("2026-11-23T02:00:00Z"), 1, ""},
                                {"wednesday", at("2026-11-25T02:00:00Z"), 1, ""},
                                {"wednesday-1", at("2026-11-25T02:00:00Z"), 1, ""},
                                {"timeless", std::nullopt, 1, ""}};
    resources::sort_newest_first(backups);
    const auto name_of = [&](const BackupChoice& choice) {
        const auto* backup = resources::chosen(backups, choice);
        return backup == nullptr ? "" : backup->name;
    };
    EXPECT_EQ(name_of({"monday", false, {}}), "monday");
    EXPECT_EQ(name_of({"sunday", false, {}}), "");
    EXPECT_EQ(name_of({"", true, {}}), "wednesday-1");
    EXPECT_EQ(name_of({"", false, at("2026-11-25T02:00:00Z")}), "tuesday");
    EXPECT_EQ(name_of({"", false, at("2026-11-20T00:00:00Z")}), "");
}

TEST(Choice, survives_the_way_to_the_agent) {
    for (const BackupChoice& choice : {BackupChoice{"a", false, {}}, BackupChoice{"", true, {}},
                                       BackupChoice{"", false, base::parse_time("2026-11-25T02:00:00.5Z")}})
        EXPECT_EQ(resources::choice_from_json(to_json(choice)), choice);
}

}  // namespace
}  // namespace dbrestore::backups
