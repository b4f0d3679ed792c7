// libprotobuf's JSON mapping behind a C interface.
#include "json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/type_resolver_util.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "descriptor_set.h"
#include "json_text.h"

namespace pb = google::protobuf;

namespace
{

const char url_prefix[] = "type.googleapis.com";

// The contract, read once when it is first asked for.
struct contract {
    pb::DescriptorPool pool;
    std::unique_ptr<pb::util::TypeResolver> resolver;

    contract()
    {
        pb::FileDescriptorSet set;
        if (!set.ParseFromArray(descriptor_set, static_cast<int>(descriptor_set_size)))
            abort();
        for (const auto &file : set.file())
            if (pool.BuildFile(file) == nullptr)
                abort();
        resolver.reset(pb::util::NewTypeResolverForDescriptorPool(url_prefix, &pool));
    }
};

const contract &the_contract()
{
    static const contract made;
    return made;
}

std::string type_url(const char *type_name)
{
    return std::string(url_prefix) + "/" + type_name;
}

char *copy_text(const std::string &text)
{
    char *copy = static_cast<char *>(malloc(text.size() + 1));
    if (copy != nullptr)
        memcpy(copy, text.c_str(), text.size() + 1);
    return copy;
}

template <typename descriptor> std::string leading_comment(const descriptor *found)
{
    pb::SourceLocation location;
    if (found == nullptr || !found->GetSourceLocation(&location))
        return "";
    return location.leading_comments;
}

// Lines joined, blanks around them dropped.
std::string one_line(const std::string &text)
{
    std::string line;
    for (char c : text) {
        bool is_blank = c == '\n' || c == ' ';
        if (is_blank && (line.empty() || line.back() == ' '))
            continue;
        line += is_blank ? ' ' : c;
    }
    while (!line.empty() && line.back() == ' ')
        line.pop_back();
    return line;
}

} // namespace

bool json_text_to_message(const char *type_name, const char *text, uint8_t **bytes_out,
                          size_t *size_out, char *error, size_t error_bytes)
{
    std::string bytes;
    auto status = pb::util::JsonToBinaryString(the_contract().resolver.get(), type_url(type_name),
                                               text, &bytes);
    if (!status.ok()) {
        snprintf(error, error_bytes, "%s", std::string(status.message()).c_str());
        return false;
    }
    *size_out = bytes.size();
    *bytes_out = reinterpret_cast<uint8_t *>(copy_text(bytes));
    if (*bytes_out == nullptr)
        snprintf(error, error_bytes, "out of memory");
    return *bytes_out != nullptr;
}

// libprotobuf's mapping makes something of any bytes.
static bool is_message(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size)
{
    ProtobufCMessage *message = protobuf_c_message_unpack(type, nullptr, size, bytes);
    if (message == nullptr)
        return false;
    protobuf_c_message_free_unpacked(message, nullptr);
    return true;
}

char *message_to_json(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size,
                      bool indented)
{
    if (!is_message(type, bytes, size))
        return nullptr;
    pb::util::JsonPrintOptions options;
    options.always_print_primitive_fields = true;
    options.add_whitespace = indented;
    std::string text;
    std::string input(reinterpret_cast<const char *>(bytes), size);
    auto status = pb::util::BinaryToJsonString(the_contract().resolver.get(), type_url(type->name),
                                               input, &text, options);
    return status.ok() ? copy_text(text) : nullptr;
}

char *contract_comment(const char *full_name)
{
    const pb::DescriptorPool &pool = the_contract().pool;
    std::string comment = leading_comment(pool.FindFieldByName(full_name));

    if (comment.empty())
        comment = leading_comment(pool.FindMethodByName(full_name));
    if (comment.empty())
        comment = leading_comment(pool.FindMessageTypeByName(full_name));
    return copy_text(one_line(comment));
}
