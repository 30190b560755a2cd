"""The gRPC server: servicers, and wrappers around every call. Only this package uses gRPC's server API."""
