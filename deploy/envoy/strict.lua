-- Refuses JSON requests with fields that the contract does not have. Envoy's transcoder drops such fields without a
-- word, so a misspelt "strictness" would be lost (https://github.com/envoyproxy/envoy/issues/46623).
--
-- deploy/envoy/strict.py writes ROUTES and MESSAGES from the contract: requests by the pattern of their path, and fields
-- by message. A field that holds a message is followed by that message's name.

-- Generated: begin
local ROUTES = {
  {"^/v1/artifacts/[^/]+:writeChunk$", "WriteArtifactChunkRequest"},
  {"^/v1/artifacts:findMissing$", "FindMissingArtifactsRequest"},
  {"^/v1/images:analyze$", "AnalyzeRequest"},
  {"^/v1/images:edit$", "EditRequest"},
  {"^/v1/images:generate$", "GenerateRequest"},
  {"^/v1/images:stream$", "StreamRequest"},
  {"^/v1/images:upscale$", "UpscaleRequest"},
  {"^/v1/usage:query$", "QueryUsageRequest"},
}
local MESSAGES = {
  AnalyzeRequest = "request_id model options=RequestOptions image=ImageInput kinds",
  ArtifactChunk = "offset data",
  ControlEdit = "control prompt strength",
  EditRequest = "request_id model options=RequestOptions image=ImageInput seed references=ImageReference negative_prompt size=Size count output_media_type quality background output_quality style rewrite_prompt erase=EraseEdit inpaint=InpaintEdit outpaint=OutpaintEdit instruct=InstructEdit replace_background=ReplaceBackgroundEdit remove_background=RemoveBackgroundEdit restyle=RestyleEdit recolor=RecolorEdit search_replace=SearchReplaceEdit relight=RelightEdit vary=VaryEdit control=ControlEdit",
  EraseEdit = "mask=Mask pixel_lock",
  FindMissingArtifactsRequest = "names",
  GenerateRequest = "request_id model options=RequestOptions prompt negative_prompt size=Size count seed output_media_type references=ImageReference quality background output_quality style rewrite_prompt",
  ImageInput = "data artifact sha256 uri media_type",
  ImageReference = "image=ImageInput role name",
  InpaintEdit = "mask=Mask prompt pixel_lock",
  InstructEdit = "prompt strength",
  Mask = "image=ImageInput polarity feather",
  Operation = "generate=GenerateRequest edit=EditRequest upscale=UpscaleRequest analyze=AnalyzeRequest",
  OutpaintEdit = "left right top bottom prompt",
  QueryUsageRequest = "start_time end_time group_by labels page_size page_token",
  RecolorEdit = "target prompt",
  RelightEdit = "prompt reference=ImageInput direction strength",
  RemoveBackgroundEdit = "",
  ReplaceBackgroundEdit = "prompt background=ImageInput",
  RequestOptions = "strictness provider_options inline_limit_bytes preview_count labels routing=Routing cache_mode end_user output_metadata embed_recipe",
  RestyleEdit = "style style_image=ImageInput prompt strength",
  Routing = "fallback_models",
  SearchReplaceEdit = "target prompt",
  Size = "width height aspect_ratio megapixels",
  StreamRequest = "operation=Operation",
  UpscaleRequest = "request_id model options=RequestOptions image=ImageInput factor size=Size mode output_media_type prompt creativity seed style",
  VaryEdit = "",
  WriteArtifactChunkRequest = "name size_bytes chunk=ArtifactChunk",
}
-- Generated: end

local MAXIMUM_DEPTH = 32
local MAXIMUM_MARKS = 50000 -- strings, brackets and commas; the server refuses requests of more than 5,000 fields
local MAXIMUM_TOLD = 8
local MAXIMUM_LENGTH = 200

-- Field names in both spellings that JSON may have: proto's and lower camel case.
local fields = {}
for message, words in pairs(MESSAGES) do
  local known = {}
  for word in words:gmatch("%S+") do
    local name, inner = word:match("^([%w_]+)=?([%w_]*)$")
    known[name] = inner
    known[(name:gsub("_(%w)", string.upper))] = inner
  end
  fields[message] = known
end

-- Returns the position of the next mark at or after `at`, and the mark; nil at the end, and after too many marks.
local function next_mark(found, at, pattern)
  found.marks = found.marks + 1
  local position = found.marks <= MAXIMUM_MARKS and at and found.text:find(pattern, at)
  if position then return position, found.text:sub(position, position) end
end

-- Returns the position after the string that begins at `at`; nil if the string has no end.
local function after_string(found, at)
  local mark
  at = at + 1
  while true do
    at, mark = next_mark(found, at, '["\\]')
    if not at then return nil end
    if mark == '"' then return at + 1 end
    at = at + 2
  end
end

-- Returns the position after the value that begins at `at`, whatever is in it.
local function after_value(found, at)
  local depth, mark = 0, nil
  while true do
    at, mark = next_mark(found, at, depth == 0 and '[%[%]{}",]' or '[%[%]{}"]')
    if not at then return nil end
    if mark == '"' then
      at = after_string(found, at)
      if not at or depth == 0 then return at end
    elseif mark == "{" or mark == "[" then
      depth, at = depth + 1, at + 1
    elseif depth == 0 then
      return at -- a number or a word ends where the next value begins, or where the whole ends
    else
      depth, at = depth - 1, at + 1
      if depth == 0 then return at end
    end
  end
end

-- Adds the path of each unknown field of a value to `found`. Returns the position after the value; nil where the text is
-- no JSON: the transcoder says so in its own words.
local function check(found, at, message, path, depth)
  local mark
  at, mark = next_mark(found, at, "%S")
  if not at or depth > MAXIMUM_DEPTH then return nil end
  if mark ~= "{" and mark ~= "[" then return after_value(found, at) end
  local is_object, index = mark == "{", 0
  local close = is_object and "}" or "]"
  at, mark = next_mark(found, at + 1, "%S")
  if mark == close then return at + 1 end
  while at do
    if is_object then
      local stop = mark == '"' and after_string(found, at)
      local colon, sign = next_mark(found, stop, "%S")
      if sign ~= ":" then return nil end
      local name = found.text:sub(at + 1, stop - 2)
      local inner = fields[message][name]
      local here = path == "" and name or path .. "." .. name
      if not inner then found.unknown[#found.unknown + 1] = here end
      if inner and inner ~= "" then
        at = check(found, colon + 1, inner, here, depth + 1)
      else
        at = after_value(found, colon + 1)
      end
    else
      at = check(found, at, message, path .. "[" .. index .. "]", depth + 1)
      index = index + 1
    end
    at, mark = next_mark(found, at, "%S")
    if mark == close then return at + 1 end
    if mark ~= "," then return nil end
    at, mark = next_mark(found, at + 1, "%S")
  end
end

-- Returns the message of a request by its path.
local function message_of(path)
  path = path:match("^[^?]*")
  for _, route in ipairs(ROUTES) do
    if path:find(route[1]) then return route[2] end
  end
end

function envoy_on_request(request)
  local headers = request:headers()
  local message = headers:get(":method") == "POST" and message_of(headers:get(":path"))
  local body = message and request:body()
  if not body then return end
  local found = {text = body:getBytes(0, body:length()), marks = 0, unknown = {}}
  check(found, 1, message, "", 0)
  if #found.unknown > 0 then
    for index, path in ipairs(found.unknown) do
      found.unknown[index] = path:sub(1, MAXIMUM_LENGTH):gsub("[^%w_.%[%]]", "?")
    end
    request:headers():replace("x-unknown-field", found.unknown[1]) -- the reply in envoy.yaml has it
    local told = table.concat(found.unknown, ", ", 1, math.min(#found.unknown, MAXIMUM_TOLD))
    request:respond({[":status"] = "400"}, told .. ": the contract has no such field")
  end
end
