// Words that the agent reads from untrusted text, and those that it writes.
#include <gtest/gtest.h>

#include <ctime>

#include "agent/dump/definitions.h"
#include "agent/dump/restore_errors.h"
#include "agent/text.h"

namespace dbrestore::agent {
namespace {

TEST(Words, NamesAndTextsAreQuotedSoThatTheyStayNamesAndTexts) {
    EXPECT_EQ(quote_identifier("Größe \"x\""), "\"Größe \"\"x\"\"\"");
    EXPECT_EQ(quote_literal("it's"), "'it''s'");
    EXPECT_EQ(quote_literal("a\\'b"), " E'a\\\\''b'");
    EXPECT_EQ(quote_conninfo("a'b\\c d"), "'a\\'b\\\\c d'");
}

TEST(Words, ForeignTextBecomesOneBoundedLineOfWholeCharacters) {
    EXPECT_EQ(one_line("a\n\tb\x01"
                       "c  \n",
                       100),
              "a b c");
    EXPECT_EQ(one_line("ääää", 5), "ää…");
    EXPECT_EQ(listed({"a", "b", "c"}, 2), "a, b and 1 more");
    EXPECT_EQ(human_size(1536), "1.5 KiB");
}

TEST(Words, ALineWithoutEndDoesNotFillTheMemory) {
    LineSplitter lines(8);
    std::vector<std::string> seen;
    const auto take = [&](std::string_view line) { seen.emplace_back(line); };
    lines.feed("one\ntw", take);
    lines.feed("o\n" + std::string(1000, 'x'), take);
    lines.feed("y\nlast", take);
    EXPECT_EQ(seen, (std::vector<std::string>{"one", "two", "xxxxxxxx"}));
}

TEST(Definitions, ExtensionsAreTakenWithTheirSchemasAndOnlyInTheExactForm) {
    Definitions d;
    d.add_line("CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA \"Zus\"\"ätze\";");
    d.add_line("CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA public;");
    d.add_line("CREATE EXTENSION IF NOT EXISTS evil WITH SCHEMA public; DROP DATABASE shop;");
    d.add_line("CREATE EXTENSION IF NOT EXISTS \"open WITH SCHEMA public;");
    EXPECT_EQ(d.extensions, (std::vector<DumpExtension>{{"hstore", "Zus\"ätze"}, {"uuid-ossp", "public"}}));
}

TEST(Definitions, RolesOfPoliciesAreFoundAndKeywordsAreNone) {
    Definitions d;
    d.add_line(
        "CREATE POLICY \"x TO y\" ON shop.orders FOR SELECT TO shop_reader, \"Prüfer \"\"intern\"\"\" USING "
        "(true);");
    d.add_line("CREATE POLICY p ON shop.orders TO PUBLIC USING (true);");
    d.add_line("CREATE USER MAPPING FOR app SERVER other;");
    EXPECT_EQ(d.roles.list(), (std::vector<std::string>{"shop_reader", "Prüfer \"intern\"", "app"}));
}

TEST(Definitions, AHostileDumpOfVeryManyRolesIsReadInItsTime) {
    Definitions d;
    const std::clock_t start = std::clock();
    for (int i = 0; i < 9'999; ++i) d.add_line("CREATE POLICY p ON t TO r" + std::to_string(i) + ";");
    for (int i = 0; i < 300'000; ++i) d.add_line("CREATE POLICY p ON t TO r9998;");
    EXPECT_EQ(d.roles.list().size(), 9'999u) << "each once";
    EXPECT_LT((std::clock() - start) / CLOCKS_PER_SEC, 10) << "not by looking at each for each";
    for (int i = 0; i < 100'000; ++i) d.add_line("CREATE POLICY p ON t TO s" + std::to_string(i) + ";");
    EXPECT_EQ(d.roles.list().size(), 10'000u) << "and no more than that";
}

TEST(Definitions, WhatOnlyASuperuserMayMakeIsNamed) {
    Definitions d;
    d.add_line("CREATE FUNCTION public.fine() RETURNS integer");
    d.add_line("    LANGUAGE plpgsql");
    d.add_line("CREATE FUNCTION public.risky(internal) RETURNS integer");
    d.add_line("    LANGUAGE c STRICT");
    d.add_line("CREATE PUBLICATION p FOR ALL TABLES WITH (publish = 'insert');");
    d.add_line("CREATE PUBLICATION \" FOR ALL TABLES\" WITH (publish = 'insert');");
    EXPECT_EQ(d.for_superusers.list(), (std::vector<std::string>{"function public.risky in language c",
                                                                 "a publication for all tables"}));
}

TEST(RestoreErrors, TheFirstThreeAreKeptWithTheirEntryAndWithoutTheCommand) {
    RestoreErrors errors;
    for (const char* line :
         {"pg_restore: connecting to database for restore", "pg_restore: while PROCESSING TOC:",
          "pg_restore: from TOC entry 3612; 2606 18790 FK CONSTRAINT children has_parent app",
          "pg_restore: error: could not execute query: ERROR:  insert or update on table \"children\" "
          "violates it",
          "DETAIL:  Key (parent)=(7) is not present in table \"parents\".", "Command was: ALTER TABLE secret",
          "pg_restore: error: second", "pg_restore: error: third", "pg_restore: error: fourth",
          "pg_restore: error: fifth"}) {
        errors.add_line(line);
    }
    EXPECT_EQ(
        errors.text(),
        "[18790 FK CONSTRAINT children has_parent app] insert or update on table \"children\" violates it "
        "(Key (parent)=(7) is not present in table \"parents\".); "
        "[18790 FK CONSTRAINT children has_parent app] second; [18790 FK CONSTRAINT children has_parent app] "
        "third");
}

TEST(RestoreErrors, WhatCouldNotBeDroppedIsForgivenWhereAllElseWentWell) {
    const std::vector<std::string> of_a_drop{
        "pg_restore: while PROCESSING TOC:",
        "pg_restore: from TOC entry 3456; 2606 16771 CONSTRAINT a a_pkey app",
        "pg_restore: error: could not execute query: ERROR:  cannot drop inherited constraint",
        "Command was: ALTER TABLE IF EXISTS ONLY s.a DROP CONSTRAINT IF EXISTS a_pkey;"};
    RestoreErrors errors(true);
    for (const auto& line : of_a_drop) errors.add_line(line);
    EXPECT_FALSE(errors.has_fatal());
    EXPECT_FALSE(errors.all_are_forgiven()) << "it has not said that it is through";
    errors.add_line("pg_restore: warning: errors ignored on restore: 1");
    EXPECT_TRUE(errors.all_are_forgiven());
    errors.add_line("pg_restore: error: could not execute query: ERROR:  relation \"a\" already exists");
    errors.add_line("Command was: CREATE TABLE s.a (");
    EXPECT_TRUE(errors.has_fatal());
    EXPECT_FALSE(errors.all_are_forgiven());
    EXPECT_NE(errors.text().find("already exists; before that: "), std::string::npos) << errors.text();

    RestoreErrors strict;
    for (const auto& line : of_a_drop) strict.add_line(line);
    EXPECT_TRUE(strict.has_fatal());
    RestoreErrors miscounted(true);
    for (const auto& line : of_a_drop) miscounted.add_line(line);
    miscounted.add_line("pg_restore: warning: errors ignored on restore: 2");
    EXPECT_FALSE(miscounted.all_are_forgiven());
}

// As PostgreSQL 15's pg_restore printed it.
TEST(RestoreErrors, WhatWorkersLockedOutIsRepeatedWithAllThatFailedSince) {
    const std::string attach = "3225; 0 0 INDEX ATTACH shop second_a_idx app",
                      key = "3226; 2606 18790 FK CONSTRAINT shop parts parts_kind_fkey app",
                      index = "3221; 1259 18791 INDEX shop second_idx app";
    const auto told = [](RestoreErrors& errors, const std::string& entry, const std::string& error) {
        errors.add_line("pg_restore: from TOC entry " + entry);
        errors.add_line("pg_restore: error: " + error);
    };
    const std::string locked = "could not execute query: ERROR:  deadlock detected";
    RestoreErrors errors;
    told(errors, attach, locked);
    errors.add_line("DETAIL:  Process 1 waits for AccessExclusiveLock on relation 2; blocked by process 3.");
    errors.add_line("Command was: ALTER INDEX shop.second_idx ATTACH PARTITION shop.second_a_idx;");
    told(errors, key, "could not execute query: ERROR:  there is no unique constraint matching given keys");
    EXPECT_FALSE(errors.has_fatal());
    EXPECT_FALSE(errors.all_are_forgiven()) << "it has not said that it is through";
    errors.add_line("pg_restore: warning: errors ignored on restore: 3");
    EXPECT_TRUE(errors.all_are_forgiven()) << "a worker with an error counts what it does afterwards";
    EXPECT_TRUE(errors.must_be_repeated(attach));
    EXPECT_TRUE(errors.must_be_repeated(key));
    EXPECT_FALSE(errors.must_be_repeated(index));

    RestoreErrors before;
    told(before, key, "could not execute query: ERROR:  there is no unique constraint matching given keys");
    told(before, attach, locked);
    EXPECT_TRUE(before.has_fatal()) << "what fails without it counts";

    // Its INSERTs, or its COPY, may have left half of it.
    RestoreErrors of_data;
    told(of_data, attach, locked);
    told(of_data, "3363; 0 686985 TABLE DATA shop first app", locked);
    EXPECT_TRUE(of_data.has_fatal());
    RestoreErrors of_copy;
    told(of_copy, "3363; 0 686985 TABLE DATA shop first app",
         "COPY failed for table \"first\": ERROR:  deadlock detected");
    EXPECT_TRUE(of_copy.has_fatal());

    // In mode Clean too, where the drops come first.
    RestoreErrors clean(true);
    told(clean, index, "could not execute query: ERROR:  cannot drop index");
    clean.add_line("Command was: DROP INDEX IF EXISTS shop.second_idx;");
    told(clean, attach, locked);
    clean.add_line("pg_restore: warning: errors ignored on restore: 2");
    EXPECT_TRUE(clean.all_are_forgiven());
    EXPECT_TRUE(clean.must_be_repeated(attach));
    EXPECT_FALSE(clean.must_be_repeated(index)) << "it was made anew";
}

}  // namespace
}  // namespace dbrestore::agent
