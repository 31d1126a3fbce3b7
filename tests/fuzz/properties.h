#pragma once
// What the fuzzers share. An input is text that people can read and write; tests/fuzz/corpus holds such
// texts.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/digest.h"

namespace dbrestore::fuzz {

// A property that does not hold ends the process, which libFuzzer reports together with the input.
inline void require(bool holds, const char* property, const std::string& shown = {}) {
    if (holds) return;
    std::fprintf(stderr, "PROPERTY BROKEN: %s\n%s\n", property, shown.c_str());
    std::abort();
}

inline void require_same(const nlohmann::json& a, const nlohmann::json& b, const char* property) {
    require(a == b, property, a.dump(1) + "\n" + b.dump(1));
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

// Takes what stands before the mark from the text, and drops the mark.
inline std::string_view take_until(std::string_view& text, std::string_view mark) {
    const size_t end = text.find(mark);
    const std::string_view taken = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + mark.size());
    return taken;
}

// No fuzzer finds a SHA-256 by chance: "DBRESTORE/1 1 result + {…}" gets its digest in the place of "+".
// `last_digest` becomes that of the last line that was signed.
inline std::string signed_log(std::string_view log, std::string& last_digest) {
    std::string out;
    while (!log.empty()) {
        const std::string_view line = take_until(log, "\n");
        const size_t plus = line.find(" + ");
        if (plus == std::string_view::npos) {
            out += line;
        } else {
            const std::string_view document = line.substr(plus + 3);
            last_digest = base::sha256_hex(document);
            out += line.substr(0, plus + 1);
            out += last_digest + " ";
            out += document;
        }
        out += '\n';
    }
    return out;
}

// The same in a termination message: {"digest":"+"}.
inline std::string signed_termination(std::string_view text, const std::string& digest) {
    std::string out(text);
    if (const size_t plus = out.find("\"+\""); plus != std::string::npos) out.replace(plus + 1, 1, digest);
    return out;
}

}  // namespace dbrestore::fuzz
