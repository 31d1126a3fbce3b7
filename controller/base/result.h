#pragma once
// The outcome of whatever may fail for a reason outside the program. Bugs assert instead.

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace dbrestore::base {

// What the caller can do about an error; the text is for people, the kind for code.
enum class ErrorKind {
    invalid,      // the input is wrong and stays wrong: say what it must be
    not_found,    // the named thing does not exist (yet)
    conflict,     // somebody else changed it first: read again
    refused,      // understood and denied: permission, policy
    unavailable,  // the other side does not answer now: try again
    expired,      // a position in a stream is too old: start over
    io,           // the operating system said no
    failed,       // a program that we ran did not succeed
};

struct Error {
    ErrorKind kind = ErrorKind::failed;
    std::string message;          // names the object and the cause, lower case, no full stop
    std::string hint;             // the next step for a person; may be empty
    int retry_after_seconds = 0;  // what the other side asked for; 0: nothing
};

inline Error error(ErrorKind kind, std::string message, std::string hint = {}) {
    return Error{kind, std::move(message), std::move(hint), 0};
}

// Message and hint as one text.
inline std::string to_text(const Error& e) {
    return e.hint.empty() ? e.message : e.message + "; " + e.hint;
}

struct Nothing {};

template <typename T = Nothing>
class [[nodiscard]] Result {
public:
    Result(T value)
        : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
    Result(Error failure)
        : state_(std::in_place_index<1>, std::move(failure)) {}  // NOLINT(google-explicit-constructor)

    explicit operator bool() const { return state_.index() == 0; }
    bool ok() const { return state_.index() == 0; }

    T& value() & {
        assert(ok());
        return *std::get_if<0>(&state_);
    }
    const T& value() const& {
        assert(ok());
        return *std::get_if<0>(&state_);
    }
    T&& value() && {
        assert(ok());
        return std::move(*std::get_if<0>(&state_));
    }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }

    const Error& error() const {
        assert(!ok());
        return *std::get_if<1>(&state_);
    }

private:
    std::variant<T, Error> state_;
};

using Status = Result<Nothing>;
inline Status success() {
    return Nothing{};
}

}  // namespace dbrestore::base
