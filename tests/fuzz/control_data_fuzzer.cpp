// What pg_controldata prints; pg_control itself may hold anything.

#include "agent/server/control_data.h"
#include "agent/text.h"
#include "fuzz/properties.h"

namespace dbrestore::fuzz {
namespace {

void check(const std::string& input) {
    const auto control = agent::control_data_from_text(input);
    require(control.text == input, "the text is kept, since two of them are compared");
    require(!control.in_production() || !control.shut_down(), "a server runs, or was shut down, never both");
    for (const auto& [name, value] : control.fields) {
        require(name.find_first_of(":\n") == std::string::npos, "a field's name ends at the colon", name);
        require(agent::trimmed(value) == value && value.find('\n') == std::string::npos,
                "a value is one trimmed line", value);
        require(input.find(name) != std::string::npos && input.find(value) != std::string::npos,
                "nothing is made up", name + ": " + value);
    }
    require(control.field("no such: field").empty(), "what is not there is empty");
}

}  // namespace
}  // namespace dbrestore::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    dbrestore::fuzz::check(std::string(dbrestore::fuzz::text_of(data, size)));
    return 0;
}
