package interop;

import jakarta.jws.Oneway;
import jakarta.jws.WebMethod;
import jakarta.jws.WebParam;
import jakarta.jws.WebService;
import jakarta.jws.soap.SOAPBinding;
import jakarta.xml.ws.Action;
import java.util.List;

/** The application, as its service and its clients see it. */
@WebService(name = "Echo", targetNamespace = Wsdl.NAMESPACE)
@SOAPBinding(parameterStyle = SOAPBinding.ParameterStyle.BARE)
public interface Echo extends Asking {
  String NOTE = "urn:example:interop/Note";

  @Oneway
  @WebMethod(operationName = "note", action = NOTE)
  @Action(input = NOTE)
  void note(@WebParam(name = "note", targetNamespace = Wsdl.NAMESPACE, partName = "body") String text);

  /** Keeps what it is given. */
  @WebService(endpointInterface = "interop.Echo", serviceName = "EchoService", portName = "EchoPort", targetNamespace = Wsdl.NAMESPACE)
  final class Recorder implements Echo {
    private final List<String> texts;

    Recorder(List<String> texts) {
      this.texts = texts;
    }

    @Override
    public String echo(String text) {
      texts.add(text);
      return text;
    }

    @Override
    public void note(String text) {
      texts.add(text);
    }
  }
}
