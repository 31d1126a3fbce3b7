#include "backups/s3.h"

#include <algorithm>
#include <cstdlib>
#include <pugixml.hpp>

#include "base/text.h"

namespace dbrestore::backups {

namespace {

bool is_unreserved(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

// RFC 3986, as the signature wants it.
std::string encoded(const std::string& text, bool keep_slashes) {
    static constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        if (is_unreserved(c) || (keep_slashes && c == '/')) {
            out += c;
        } else {
            out += '%';
            out += digits[static_cast<unsigned char>(c) >> 4];
            out += digits[static_cast<unsigned char>(c) & 15];
        }
    }
    return out;
}

int hex_value(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

std::string decoded(const std::string& text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        const int high = text[i] == '%' && i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
        const int low = high >= 0 ? hex_value(text[i + 2]) : -1;
        if (low >= 0) i += 2;
        out += low >= 0 ? static_cast<char>(high * 16 + low) : text[i] == '+' ? ' ' : text[i];
    }
    return out;
}

std::string without_slash(std::string text) {
    while (text.ends_with('/')) text.pop_back();
    return text;
}

std::string bucket_url(const resources::S3Location& location) {
    const std::string endpoint = without_slash(location.endpoint);
    const size_t host = endpoint.find("://") + 3;
    const bool names_bucket = endpoint.compare(host, location.bucket.size() + 1, location.bucket + ".") == 0;
    return names_bucket ? endpoint : endpoint + "/" + location.bucket;
}

}  // namespace

std::string s3_folder(const resources::S3Location& location) {
    const std::string prefix = without_slash(location.prefix);
    return prefix.empty() ? "" : prefix + "/";
}

std::string s3_object_url(const resources::S3Location& location, const std::string& key) {
    return bucket_url(location) + "/" + encoded(s3_folder(location) + key, true);
}

std::string http_object_url(const resources::HttpLocation& location, const std::string& path) {
    return without_slash(location.url) + "/" + encoded(path, true);
}

std::string s3_list_url(const resources::S3Location& location, const std::string& continuation) {
    // In the order of their names: libcurl signs the query as it is.
    std::string query;
    if (!continuation.empty()) query = "continuation-token=" + encoded(continuation, false) + "&";
    return bucket_url(location) + "/?" + query +
           "encoding-type=url&list-type=2&prefix=" + encoded(s3_folder(location), false);
}

base::Result<S3Page> s3_page(const resources::S3Location& location, const std::string& document) {
    pugi::xml_document xml;
    const auto parsed =
        xml.load_buffer(document.data(), document.size(), pugi::parse_default & ~pugi::parse_doctype);
    const auto listing = xml.child("ListBucketResult");
    if (!parsed || !listing)
        return base::error(base::ErrorKind::invalid, "the server's listing cannot be understood",
                           "`endpoint` must be the URL of an S3 service");
    const bool is_encoded = std::string_view(listing.child_value("EncodingType")) == "url";
    const std::string folder = s3_folder(location);
    S3Page page;
    for (const auto contents : listing.children("Contents")) {
        std::string key = contents.child_value("Key");
        if (is_encoded) key = decoded(key);
        if (!key.starts_with(folder) || key.size() == folder.size() || key.ends_with('/')) continue;
        resources::Backup backup;
        backup.name = key.substr(folder.size());
        backup.completion_time = base::parse_time(contents.child_value("LastModified"));
        backup.size_bytes = std::strtoll(contents.child_value("Size"), nullptr, 10);
        backup.identity = contents.child_value("ETag");
        page.backups.push_back(std::move(backup));
    }
    if (std::string_view(listing.child_value("IsTruncated")) == "true")
        page.continuation = listing.child_value("NextContinuationToken");
    return page;
}

}  // namespace dbrestore::backups
