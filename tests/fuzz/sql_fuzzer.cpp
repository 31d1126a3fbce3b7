// A dump in plain SQL. The input: its text.

#include "agent/dump/sql_script.h"
#include "fuzz/properties.h"

namespace dbrestore::fuzz {
namespace {

struct Result {
    std::string forwarded;
    std::string problem;
    agent::Archive archive;
};

Result read(std::string_view text, size_t piece_bytes) {
    agent::SqlScript script({"public"});
    Result result;
    for (size_t at = 0; at < text.size(); at += piece_bytes) {
        const auto fed = script.feed(text.substr(at, piece_bytes), [&](std::string_view piece) {
            result.forwarded += piece;
            return base::success();
        });
        require(fed.ok(), "reading does not fail by itself");
    }
    if (const auto problem = script.problem()) result.problem = problem->reason + ": " + problem->message;
    result.archive = std::move(script.archive);
    return result;
}

void check(std::string_view input) {
    const Result whole = read(input, input.size() + 1), pieces = read(input, 3);
    require(whole.forwarded == pieces.forwarded, "what is run is the same however it comes in pieces",
            pieces.forwarded);
    require(whole.problem == pieces.problem, "the problem is the same however it comes in pieces",
            pieces.problem);
    require(whole.archive.entries.size() == pieces.archive.entries.size(),
            "the entries are the same in pieces");
    require(whole.forwarded.size() <= input.size(), "nothing is added");
    require(!whole.problem.empty() ||
                input.find("-- PostgreSQL database dump complete") != std::string_view::npos,
            "only a whole dump is one");
    for (const auto& entry : whole.archive.entries)
        require(input.find(entry.description) != std::string_view::npos, "no entry is made up",
                entry.description);
}

}  // namespace
}  // namespace dbrestore::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    dbrestore::fuzz::check(dbrestore::fuzz::text_of(data, size));
    return 0;
}
