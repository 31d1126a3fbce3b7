#include <gtest/gtest.h>

#include "backups/ahead.h"

namespace dbrestore::backups {
namespace {

// Numbers every piece, and ends as it is told to.
class Pieces final : public ByteSource {
public:
    Pieces(size_t count, size_t piece_bytes, bool fails)
        : count_(count), piece_bytes_(piece_bytes), fails_(fails) {}
    base::Result<size_t> read(char* buffer, size_t size) override {
        if (given_ == count_ && fails_) return base::error(base::ErrorKind::unavailable, "broken off");
        if (given_ == count_) return size_t{0};
        const size_t bytes = std::min(size, piece_bytes_);
        std::fill_n(buffer, bytes, static_cast<char>('a' + given_++ % 26));
        return bytes;
    }

private:
    size_t count_, piece_bytes_, given_ = 0;
    bool fails_;
};

std::string content(ByteSource& source, std::string* error = nullptr) {
    std::string all;
    const auto read = pump(source, [&](std::string_view bytes) {
        all += bytes;
        return base::success();
    });
    if (!read && error != nullptr) *error = read.error().message;
    return all;
}

TEST(AheadSource, GivesTheSameBytesAndTheSameEnd) {
    for (const size_t piece_bytes : {size_t{1}, size_t{1000}, block_bytes}) {
        for (const bool fails : {false, true}) {
            Pieces plain(40, piece_bytes, fails), inner(40, piece_bytes, fails);
            AheadSource ahead(inner);
            std::string error, error_ahead;
            EXPECT_EQ(content(ahead, &error_ahead), content(plain, &error));
            EXPECT_EQ(error_ahead, error);
            EXPECT_EQ(error, fails ? "broken off" : "");
        }
    }
}

TEST(AheadSource, CanBeLeftInTheMiddle) {
    Pieces inner(1000, block_bytes, false);
    AheadSource ahead(inner);
    char c = 0;
    const auto read = ahead.read(&c, 1);
    ASSERT_TRUE(read);
    EXPECT_EQ(c, 'a');
}

}  // namespace
}  // namespace dbrestore::backups
