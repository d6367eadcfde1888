"""The Darknet frontend: `config` reads the `.cfg`, `layers` plans each layer, `weights` reads the `.weights`,
`network` joins them."""

from minicc.frontend.darknet.network import Network as Network
from minicc.frontend.darknet.network import load as load
from minicc.frontend.darknet.network import read_network as read_network
from minicc.frontend.darknet.layers import Head as Head
