-- wrk's script: every request is the same POST. Arguments: file of the body, then headers as name and value.
function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  local headers = {}
  for i = 2, #arguments, 2 do headers[arguments[i]] = arguments[i + 1] end
  request_bytes = wrk.format("POST", nil, headers, file:read("*a"))
  file:close()
end

function request() return request_bytes end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "seconds": %.6f, "p50": %.6f, "p99": %.6f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout))
end
