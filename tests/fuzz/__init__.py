"""Every RPC of the contract under requests that nobody would write: `make fuzz CALLS=100000 SEED=1`.

`contract` finds the RPCs in the descriptors, `values` and `messages` make strategies of them, `estate` is
what the ids in the requests refer to, `sending` calls by real gRPC, `verdict` judges each answer, `campaign`
puts them together. A new RPC is part of it by being in the contract.
"""
