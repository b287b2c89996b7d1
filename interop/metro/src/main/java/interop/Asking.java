package interop;

import jakarta.jws.WebMethod;
import jakarta.jws.WebParam;
import jakarta.jws.WebResult;
import jakarta.jws.WebService;
import jakarta.jws.soap.SOAPBinding;
import jakarta.xml.ws.Action;
import java.util.List;

/** The application of a scenario that asks: its WSDL has nothing else ({@link Wsdl}). */
@WebService(name = "Echo", targetNamespace = Wsdl.NAMESPACE)
@SOAPBinding(parameterStyle = SOAPBinding.ParameterStyle.BARE)
public interface Asking {
  String ECHO = "urn:example:interop/Echo";
  String ECHO_RESPONSE = "urn:example:interop/EchoResponse";

  @WebMethod(operationName = "echo", action = ECHO)
  @Action(input = ECHO, output = ECHO_RESPONSE)
  @WebResult(name = "echoResponse", targetNamespace = Wsdl.NAMESPACE, partName = "body")
  String echo(@WebParam(name = "echo", targetNamespace = Wsdl.NAMESPACE, partName = "body") String text);

  /** Keeps what it is given. */
  @WebService(endpointInterface = "interop.Asking", serviceName = "EchoService", portName = "EchoPort", targetNamespace = Wsdl.NAMESPACE)
  class Recorder implements Asking {
    final List<String> texts;

    Recorder(List<String> texts) {
      this.texts = texts;
    }

    @Override
    public String echo(String text) {
      texts.add(text);
      return text;
    }
  }
}
